import '../base.css';
import './staff.css';
import { ask, setState, startDecoder } from '../boot';

setState('loading');
const study = new URLSearchParams(location.search).get('study') ?? '';
const early = { ...ask(`/images/${encodeURIComponent(study)}`), ...startDecoder() };
void import('./page').then(({ openPage }) => openPage(early));
