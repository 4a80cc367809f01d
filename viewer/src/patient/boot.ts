import '../base.css';
import './patient.css';
import { setState, startEarly } from '../boot';

setState('loading');
const early = startEarly('/share');
void import('./page').then(({ openPage }) => openPage(early));
