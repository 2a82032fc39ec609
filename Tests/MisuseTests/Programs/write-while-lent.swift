import DMA

func misuse(_ buffer: inout StreamingBuffer, _ device: DMADevice) throws(DMAError) {
  let loan = try MappedBytes(&buffer, ToDevice.self, for: device)  // expected-error {{overlapping accesses to 'buffer'}}
  var bytes = buffer.mutableBytes  // expected-note {{conflicting access is here}}
  bytes.storeBytes(of: 1, toByteOffset: 0, as: UInt8.self)
  print(loan.address)
}
