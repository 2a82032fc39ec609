internal import DMA
internal import Drivers
internal import PCI

/// Sends bytes through an edu device and back, and compares: the same on every machine.
struct EduCopy {
  /// What a copy came to.
  struct Result {
    var byteCount: Int
    var transfers: Int
    /// Where the bytes differ first; nil when they are the same.
    var firstDifference: Int?
    /// Milliseconds of the machine's own clock.
    var machineMilliseconds: Double
  }

  /// Copies `bytes` from a buffer at `placement` into another there.
  static func run(
    _ edu: EduDevice, _ bytes: [UInt8], placement: StreamingBuffer.Placement,
    progress: (Int) -> Void = { _ in }
  ) throws(EduError) -> Result {
    let platform = edu.device.dma.platform
    var source = try buffer { () throws(DMAError) in
      unsafe try StreamingBuffer(copying: bytes.span.bytes, in: platform, placement: placement)
    }
    var destination = try buffer { () throws(DMAError) in
      try StreamingBuffer(byteCount: bytes.count, in: platform, placement: placement)
    }
    let begun = platform.nanoseconds
    let transfers = try edu.copy(&source, to: &destination, progress: progress)
    let spent = Double(platform.nanoseconds - begun) / 1e6
    let arrived = destination.bytes
    var firstDifference: Int?
    for index in bytes.indices {
      // SAFETY: index is below the buffer's byte count.
      guard unsafe arrived.unsafeLoad(fromByteOffset: index, as: UInt8.self) != bytes[index]
      else { continue }
      firstDifference = index
      break
    }
    return Result(
      byteCount: bytes.count, transfers: transfers, firstDifference: firstDifference,
      machineMilliseconds: spent)
  }

  private static func buffer(
    _ make: () throws(DMAError) -> StreamingBuffer
  ) throws(EduError) -> StreamingBuffer {
    do throws(DMAError) { return try make() } catch { throw .dma(error) }
  }
}
