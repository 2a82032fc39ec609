import DMA

// The control: right use compiles without a word.
func use(_ buffer: consuming StreamingBuffer, _ device: DMADevice) throws(DMAError) -> UInt64 {
  var mapping = try buffer.map(Bidirectional.self, for: device).get()
  mapping.withMutableBytesSyncedForCPU { bytes in
    bytes.storeBytes(of: 1, toByteOffset: 0, as: UInt8.self)
  }
  let count = mapping.withBytesSyncedForCPU(0..<1) { $0.byteCount }
  let address = mapping.address
  var again = mapping.unmap()
  let loan = try MappedBytes(&again, FromDevice.self, for: device)
  return address.rawValue + loan.address.rawValue + UInt64(count)
}
