// Where the application lives: the folder above `assets/`, from which this file is served. So it works below any path, also from the widget's.

export const root: string = new URL(import.meta.env.DEV ? "/" : "../", import.meta.url).href;
