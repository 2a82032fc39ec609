import DMA

let misuse: DMADirection = .none  // expected-error {{}}
