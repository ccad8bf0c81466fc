// An empty program: what Node by itself takes to start and to end.
export {}
