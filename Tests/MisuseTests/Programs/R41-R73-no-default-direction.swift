import DMA

func misuse(_ buffer: consuming StreamingBuffer, _ device: DMADevice) {
  _ = buffer.map(for: device)  // expected-error {{missing argument}} expected-error {{generic parameter 'Direction' could not be inferred}}
}
