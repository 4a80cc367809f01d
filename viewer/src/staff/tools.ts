/** Cornerstone's window, pan and measuring tools; only the staff's page ever loads this file. */

import {
  Enums as ToolEnums, LengthTool, PanTool, ToolGroupManager, WindowLevelTool, addTool, annotation, init as startTools,
} from '@cornerstonejs/tools';

/** Zoom and scroll are the stage's own (its zoom knows the device's pixel ratio, its scroll every kind of trouble). */
export type ToolName = 'window' | 'pan' | 'zoom' | 'scroll' | 'length';

const GROUP = 'staff';
const { MouseBindings } = ToolEnums;
const LEFT = { mouseButton: MouseBindings.Primary };
const MIDDLE = { mouseButton: MouseBindings.Auxiliary };

/** Must run before the first pane is enabled: a pane enabled earlier never hears the mouse. */
export function openToolbox(engineId: string) {
  startTools();
  const tools = [WindowLevelTool, PanTool, LengthTool];
  tools.forEach(addTool);
  const group = ToolGroupManager.createToolGroup(GROUP)!;
  tools.forEach((tool) => group.addTool(tool.toolName));
  const style = annotation.config.style.getDefaultToolStyles();
  annotation.config.style.setDefaultToolStyles({
    ...style,
    global: { ...style.global, color: 'rgb(98, 211, 191)', colorHighlighted: 'rgb(243, 197, 104)', colorSelected: 'rgb(243, 197, 104)',
      lineWidth: '1.5', textBoxFontSize: '13px', textBoxFontFamily: 'system-ui, sans-serif', textBoxColor: 'rgb(98, 211, 191)',
      textBoxColorHighlighted: 'rgb(243, 197, 104)', textBoxColorSelected: 'rgb(243, 197, 104)', textBoxLinkLineColor: 'rgb(98, 211, 191)' },
  } as never);

  return {
    /** The left button's tool; the middle button always pans, and lengths can always be taken by their ends. */
    choose(name: ToolName): void {
      group.setToolDisabled(WindowLevelTool.toolName);
      group.setToolPassive(LengthTool.toolName);
      group.setToolActive(PanTool.toolName, { bindings: name === 'pan' ? [MIDDLE, LEFT] : [MIDDLE] });
      if (name === 'window') group.setToolActive(WindowLevelTool.toolName, { bindings: [LEFT] });
      if (name === 'length') group.setToolActive(LengthTool.toolName, { bindings: [LEFT] });
    },
    add: (paneId: string): void => group.addViewport(paneId, engineId),
    clearLengths: (): void => annotation.state.removeAllAnnotations(),
  };
}

export type Toolbox = ReturnType<typeof openToolbox>;
