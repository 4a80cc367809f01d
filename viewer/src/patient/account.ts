/** The same page for somebody who signed in: the study is named in the address, and leaving it leads to their list. */

const VIEW = /^(\/account\/studies\/[0-9a-f-]{36})\/view\/$/;
const LIST = '/account/studies';

/** Where the manifest, the images and the report are asked for. */
export const baseOf = (path: string) => VIEW.exec(path)?.[1] ?? '/share';

export const isAccount = (base: string) => base !== '/share';

export const backToList = () => location.assign(LIST);
