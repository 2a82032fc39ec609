import DMA

func misuse(_ device: DMADevice) throws(DMAError) {
  _ = try CoherentBuffer<UInt32>(count: 1, ToDevice.self, for: device)  // expected-error {{cannot convert value of type 'ToDevice.Type'}} expected-error {{}}
}
