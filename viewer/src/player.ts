/** Plays a stage's pictures in a loop; a slow picture is waited for, never skipped over. */

import { pace } from './images';
import type { Stage } from './stage';

export class Player {
  playing = false;
  onChange: () => void = () => {};
  private run = 0;

  constructor(private readonly stage: () => Stage) {}

  toggle(): void {
    if (this.playing) this.stop();
    else void this.start();
  }

  stop(): void {
    if (!this.playing) return;
    this.run += 1;
    this.playing = false;
    this.onChange();
  }

  private async start(): Promise<void> {
    const stage = this.stage();
    if (stage.pictures.length < 2) return;
    const run = ++this.run;
    this.playing = true;
    this.onChange();
    while (run === this.run) {
      const began = performance.now();
      const picture = stage.pictures[stage.index];
      if (!picture) break;
      await stage.show((stage.index + 1) % stage.pictures.length);
      if (stage.trouble?.passes || stage.trouble?.endsVisit) break;
      const rest = 1000 / pace(picture) - (performance.now() - began);
      await new Promise((done) => setTimeout(done, Math.max(0, rest)));
      if (document.hidden) break;
    }
    if (run === this.run) this.stop();
  }
}
