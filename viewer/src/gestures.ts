/** Fingers, mouse and wheel on the patient's stage: one finger moves through the images, two bring them nearer. */

import type { Point, Stage } from './stage';

const STEP_PX = 9;
const TAP_MS = 320;

export function followGestures(stage: Stage, moved: () => void): void {
  const element = stage.element;
  const fingers = new Map<number, Point>();
  let rest = 0;
  let lastTap = 0;
  let travelled = 0;

  const place = (event: PointerEvent | WheelEvent | MouseEvent): Point => {
    const box = element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const span = ([a, b]: Point[]) => Math.hypot(a![0] - b![0], a![1] - b![1]);
  const middle = ([a, b]: Point[]): Point => [(a![0] + b![0]) / 2, (a![1] + b![1]) / 2];
  const step = (by: number) => {
    rest += by;
    const whole = Math.trunc(rest);
    if (whole === 0) return;
    rest -= whole;
    moved();
    void stage.show(stage.index + whole);
  };
  const zoomAtTap = (at: Point) => (stage.near ? stage.resetView() : stage.zoomBy(2.2, at));

  element.addEventListener('pointerdown', (event) => {
    if (event.button > 0) return;
    element.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, place(event));
    if (fingers.size === 1) travelled = 0;
    rest = 0;
  });

  element.addEventListener('pointermove', (event) => {
    const from = fingers.get(event.pointerId);
    if (!from) return;
    const to = place(event);
    travelled += Math.hypot(to[0] - from[0], to[1] - from[1]);
    if (fingers.size === 2) {
      const before = [...fingers.values()];
      fingers.set(event.pointerId, to);
      const after = [...fingers.values()];
      stage.panBy(middle(before), middle(after));
      stage.zoomBy(span(after) / Math.max(1, span(before)), middle(after));
      return;
    }
    fingers.set(event.pointerId, to);
    if (stage.near || stage.pictures.length < 2) stage.panBy(from, to);
    // A short stack answers to a wider sweep, a long one to a finer.
    else step((to[1] - from[1]) / Math.max(2, Math.min(STEP_PX, (element.clientHeight * 1.2) / stage.pictures.length)));
  });

  const lift = (event: PointerEvent) => {
    if (!fingers.delete(event.pointerId)) return;
    if (event.type !== 'pointerup' || fingers.size > 0 || travelled > 12) return;
    const now = performance.now();
    if (now - lastTap < TAP_MS) {
      zoomAtTap(place(event));
      lastTap = 0;
    } else lastTap = now;
  };
  element.addEventListener('pointerup', lift);
  element.addEventListener('pointercancel', lift);

  element.addEventListener('wheel', (event) => {
    event.preventDefault();
    if (event.ctrlKey) stage.zoomBy(Math.exp(-event.deltaY * 0.004), place(event));
    else if (stage.pictures.length < 2) stage.zoomBy(Math.exp(-event.deltaY * 0.0015), place(event));
    else step(event.deltaMode === 0 && Math.abs(event.deltaY) < 50 ? event.deltaY / 40 : Math.sign(event.deltaY));
  }, { passive: false });
}
