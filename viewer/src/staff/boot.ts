import '../base.css';
import './staff.css';
import { setState, startEarly } from '../boot';

setState('loading');
const study = new URLSearchParams(location.search).get('study') ?? '';
const early = startEarly(`/images/${encodeURIComponent(study)}`);
void import('./page').then(({ openPage }) => openPage(early));
