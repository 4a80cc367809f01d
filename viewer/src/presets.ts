/** How bright and with how much contrast, by modality. CT windows in Hounsfield units as radiology departments use them. */

import type { Window } from './stage';
import { words } from './words';

export type Preset = { key: string; label: string; window: (own: Window) => Window | null };

const fixed = (key: string, label: string, center: number, width: number): Preset => ({ key, label, window: () => ({ center, width }) });
const STANDARD: Preset = { key: 'standard', label: words.presets.standard, window: () => null };
const RELATIVE: Preset[] = [
  { key: 'brighter', label: words.presets.brighter, window: ({ center, width }) => ({ center: center - width * 0.2, width }) },
  { key: 'darker', label: words.presets.darker, window: ({ center, width }) => ({ center: center + width * 0.2, width }) },
  { key: 'more', label: words.presets.moreContrast, window: ({ center, width }) => ({ center, width: width * 0.6 }) },
  { key: 'less', label: words.presets.lessContrast, window: ({ center, width }) => ({ center, width: width * 1.6 }) },
];

const BY_MODALITY: Record<string, Preset[]> = {
  CT: [
    STANDARD,
    fixed('soft', words.presets.soft, 40, 400),
    fixed('lung', words.presets.lung, -600, 1500),
    fixed('bone', words.presets.bone, 480, 2500),
    fixed('brain', words.presets.brain, 40, 80),
  ],
};

export const presetsFor = (modality: string): Preset[] => BY_MODALITY[modality] ?? [STANDARD, ...RELATIVE];
