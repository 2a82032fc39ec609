import DMA

func misuse(_ device: DMADevice) throws(DMAError) {
  _ = try CoherentBuffer<Bool>(count: 1, for: device)  // expected-error {{type 'Bool' does not conform to protocol 'DMARepresentable'}}
}
