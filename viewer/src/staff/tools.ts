/** Cornerstone's measuring and dragging tools; only the staff's page ever loads this file. */

import {
  Enums as ToolEnums, LengthTool, PanTool, StackScrollTool, ToolGroupManager, WindowLevelTool, ZoomTool, addTool, annotation,
  init as startTools,
} from '@cornerstonejs/tools';

export type ToolName = 'window' | 'pan' | 'zoom' | 'scroll' | 'length';

const CLASSES = { window: WindowLevelTool, pan: PanTool, zoom: ZoomTool, scroll: StackScrollTool, length: LengthTool };
const GROUP = 'staff';
const { MouseBindings } = ToolEnums;

/** Must run before the first pane is enabled: a pane enabled earlier never hears the mouse. */
export function openToolbox(engineId: string) {
  startTools();
  Object.values(CLASSES).forEach(addTool);
  const group = ToolGroupManager.createToolGroup(GROUP)!;
  Object.values(CLASSES).forEach((tool) => group.addTool(tool.toolName));
  annotation.config.style.setDefaultToolStyles({
    global: { color: 'rgb(98, 211, 191)', colorHighlighted: 'rgb(243, 197, 104)', colorSelected: 'rgb(243, 197, 104)',
      lineWidth: '1.5', textBoxFontSize: '13px', textBoxFontFamily: 'system-ui, sans-serif', textBoxColor: 'rgb(98, 211, 191)' },
  } as never);
  const steady = { pan: MouseBindings.Auxiliary, zoom: MouseBindings.Secondary } as const;

  return {
    /** The left button's tool; the middle button always pans and the right one always zooms. */
    choose(name: ToolName): void {
      for (const tool of Object.values(CLASSES)) {
        if (tool === LengthTool) group.setToolPassive(tool.toolName);
        else group.setToolDisabled(tool.toolName);
      }
      for (const [other, button] of Object.entries(steady) as [keyof typeof steady, MouseBindingsValue][]) {
        const bindings = [{ mouseButton: button }];
        if (other === name) bindings.push({ mouseButton: MouseBindings.Primary });
        group.setToolActive(CLASSES[other].toolName, { bindings });
      }
      if (!(name in steady)) group.setToolActive(CLASSES[name].toolName, { bindings: [{ mouseButton: MouseBindings.Primary }] });
    },
    add: (paneId: string): void => group.addViewport(paneId, engineId),
    clearLengths: (): void => annotation.state.removeAllAnnotations(),
    countLengths: (): number => annotation.state.getAllAnnotations().length,
  };
}

type MouseBindingsValue = (typeof MouseBindings)[keyof typeof MouseBindings];
export type Toolbox = ReturnType<typeof openToolbox>;
