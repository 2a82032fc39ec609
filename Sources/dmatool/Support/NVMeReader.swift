internal import DMA
internal import Drivers

/// Random reads, as many at once as a queue takes, each into memory that is mapped for it.
struct NVMeReader {
  let queue: NVMeQueue
  let namespace: NVMeNamespace
  /// Bytes of a read: whole blocks.
  let byteCount: Int
  let count: Int
  /// Whether buffers stay mapped from one read to the next.
  let isKeptMapped: Bool
  /// Whether each word of the disk holds its number, which is then checked.
  let isNumbered: Bool
  var random: UInt64
  /// Reads that brought other bytes.
  private(set) var wrongCount = 0

  init(
    queue: NVMeQueue, namespace: NVMeNamespace, byteCount: Int, count: Int, isKeptMapped: Bool,
    isNumbered: Bool, random: UInt64
  ) {
    self.queue = queue
    self.namespace = namespace
    self.byteCount = byteCount
    self.count = count
    self.isKeptMapped = isKeptMapped
    self.isNumbered = isNumbered
    self.random = random
  }

  /// Reads until all are done.
  mutating func run(
    _ platform: Platform, _ placement: StreamingBuffer.Placement
  ) throws(NVMeError) {
    let device = queue.device
    var given = 0
    while given < min(queue.capacity, count) {
      let buffer: StreamingBuffer
      do throws(DMAError) {
        buffer = try StreamingBuffer(byteCount: byteCount, in: platform, placement: placement)
      } catch { throw .dma(error) }
      try read(try Self.map(buffer, device))
      given += 1
    }
    for _ in 0..<count {
      guard let completion = try queue.next() else { throw .stopped }
      let first = completion.tag
      if let error = completion.error {
        _ = completion.takeTransfer().unmap()
        throw error
      }
      guard case .read(let mapping) = completion.takeTransfer() else { continue }
      let isLast = given == count
      given += isLast ? 0 : 1
      if isKeptMapped && !isLast {
        try read(mapping)
      } else {
        let buffer = mapping.unmap()
        check(buffer, first)
        if !isLast { try read(try Self.map(buffer, device)) }
      }
    }
  }

  private mutating func read(_ mapping: consuming StreamingMapping<FromDevice>) throws(NVMeError) {
    let places = namespace.byteCount / UInt64(byteCount)
    let first = next() % places * UInt64(byteCount / namespace.blockByteCount)
    try queue.read(mapping, fromBlock: first, of: namespace, tag: first).get()
  }

  /// Looks at the ends of what was read from this block on.
  private mutating func check(_ buffer: borrowing StreamingBuffer, _ first: UInt64) {
    guard isNumbered else { return }
    let bytes = buffer.bytes
    let word = first * UInt64(namespace.blockByteCount / 8)
    // SAFETY: a buffer has at least a block, which is more than a word.
    let start = unsafe bytes.unsafeLoad(as: UInt64.self)
    let end = unsafe bytes.unsafeLoad(fromByteOffset: byteCount - 8, as: UInt64.self)
    if UInt64(littleEndian: start) != word
      || UInt64(littleEndian: end) != word + UInt64(byteCount / 8 - 1)
    {
      wrongCount += 1
    }
  }

  private static func map(
    _ buffer: consuming StreamingBuffer, _ device: DMADevice
  ) throws(NVMeError) -> StreamingMapping<FromDevice> {
    do throws(DMAError) {
      return try buffer.map(FromDevice.self, for: device).get()
    } catch { throw .dma(error) }
  }

  /// Xorshift: where to read is not to cost more than reading.
  private mutating func next() -> UInt64 {
    random |= 1
    random ^= random << 13
    random ^= random >> 7
    random ^= random << 17
    return random
  }
}
