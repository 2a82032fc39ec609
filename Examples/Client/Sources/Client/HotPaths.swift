import DMA

// The functions whose code is checked, each one use of the public API as a driver makes it. They
// are not inlined, so that the disassembly has a place to look at.

/// One owned mapping, made and ended: the path of every transfer.
@inline(never)
func directMapUnmap(_ buffer: consuming StreamingBuffer, _ device: DMADevice) -> StreamingBuffer {
  switch buffer.map(ToDevice.self, for: device) {
  case .mapped(let mapping): return mapping.unmap()
  case .failed(let buffer, _): return buffer
  }
}

/// `count` mappings, one after the other, through whatever stands behind the device.
///
/// Returns the sum of the bus addresses, so that nothing can be optimised away; all ones when a
/// mapping failed.
@inline(never)
func mapUnmapLoop(
  _ buffer: consuming StreamingBuffer, _ device: DMADevice, count: Int
) -> UInt64 {
  var sum: UInt64 = 0
  var buffer = buffer
  for _ in 0..<count {
    switch buffer.map(FromDevice.self, for: device) {
    case .mapped(let mapping):
      sum &+= mapping.address.rawValue
      buffer = mapping.unmap()
    case .failed(_, _):
      return .max
    }
  }
  return sum
}

/// `count` blocks of a pool, one after the other.
///
/// Returns the sum of their bus addresses; all ones when the pool was empty.
@inline(never)
func poolAllocateFreeLoop(_ pool: DMAPool, count: Int) -> UInt64 {
  var sum: UInt64 = 0
  for _ in 0..<count {
    do throws(DMAError) {
      let block = try pool.allocate()
      sum &+= block.address.rawValue
      block.free()
    } catch { return .max }
  }
  return sum
}
