internal import DMA
internal import Drivers
internal import Glibc

/// Moves a file to or from a disk with many commands at once, each with a buffer of its own.
struct NVMePump {
  /// What can go wrong on either side.
  enum Stop: Error {
    case disk(NVMeError)
    case file(FileError)
  }

  /// What moving came to.
  struct Result {
    var byteCount = 0
    var commandCount = 0
    /// Where file and disk differ first; nil when they do not.
    var firstDifference: Int?
  }

  let queue: NVMeQueue
  let namespace: NVMeNamespace
  let platform: Platform
  let placement: StreamingBuffer.Placement
  /// Bytes of a command: whole blocks.
  let pieceByteCount: Int

  /// Writes a whole file to the disk from its first block on, and flushes.
  ///
  /// Bytes behind the file's end keep what they are, also inside of its last block.
  func write(_ file: OpenFile, progress: (Int) -> Void) throws(Stop) -> Result {
    let whole = file.byteCount / namespace.blockByteCount * namespace.blockByteCount
    var result = Result(byteCount: file.byteCount)
    do throws(Stop) {
      try pumpIn(file, whole, &result, progress)
    } catch {
      drain()
      throw error
    }
    do throws(NVMeError) {
      if whole < file.byteCount { try writeTail(file, whole, &result) }
      try queue.flush(namespace)
    } catch { throw .disk(error) }
    progress(file.byteCount)
    return result
  }

  private func pumpIn(
    _ file: OpenFile, _ total: Int, _ result: inout Result, _ progress: (Int) -> Void
  ) throws(Stop) {
    var given = 0
    var done = 0
    while done < total {
      while given < total, queue.runningCount < queue.capacity {
        let count = min(pieceByteCount, total - given)
        guard try give(try newBuffer(), file, given, count) else { break }
        given += count
      }
      let completion = try next()
      done += Int(completion.tag)
      result.commandCount += 1
      progress(done)
      guard case .single(let buffer) = completion.takeTransfer().unmap(), given < total else {
        continue
      }
      let count = min(pieceByteCount, total - given)
      if try give(buffer, file, given, count) { given += count }
    }
  }

  /// Fills a buffer from the file and gives it to the controller.
  ///
  /// - Returns: false when there is no room in the mapping now, with commands that will make some.
  private func give(
    _ buffer: consuming StreamingBuffer, _ file: OpenFile, _ offset: Int, _ count: Int
  ) throws(Stop) -> Bool {
    var buffer = buffer
    try Self.fill(&buffer, file, offset, count)
    switch buffer.map(ToDevice.self, bytes: 0..<count, for: queue.device) {
    case .mapped(let mapping):
      do throws(NVMeError) {
        try queue.write(
          mapping, toBlock: UInt64(offset / namespace.blockByteCount), of: namespace,
          tag: UInt64(count)
        ).get()
      } catch { throw .disk(error) }
      return true
    case .failed(_, let error):
      guard error.isTransient, queue.runningCount > 0 else { throw .disk(.dma(error)) }
      return false
    }
  }

  /// Reads bytes of a file into the start of a buffer.
  static func fill(
    _ buffer: inout StreamingBuffer, _ file: OpenFile, _ offset: Int, _ count: Int
  ) throws(Stop) {
    var bytes = buffer.mutableBytes
    do throws(FileError) {
      // SAFETY: the pointer does not outlive the call.
      try unsafe bytes.withUnsafeMutableBytes { (target) throws(FileError) in
        try unsafe file.read(
          into: UnsafeMutableRawBufferPointer(rebasing: target[..<count]), at: offset)
      }
    } catch { throw .file(error) }
  }

  private func newBuffer() throws(Stop) -> StreamingBuffer {
    do throws(DMAError) {
      return try StreamingBuffer(byteCount: pieceByteCount, in: platform, placement: placement)
    } catch { throw .disk(.dma(error)) }
  }

  /// Reads what `write` has written and compares it with the file.
  func compare(_ file: OpenFile, progress: (Int) -> Void) throws(Stop) -> Result {
    var result = Result(byteCount: file.byteCount)
    do throws(Stop) {
      try pumpOut(file, &result, progress)
    } catch {
      drain()
      throw error
    }
    return result
  }

  private func pumpOut(
    _ file: OpenFile, _ result: inout Result, _ progress: (Int) -> Void
  ) throws(Stop) {
    let total = file.byteCount
    var expected = [UInt8](repeating: 0, count: pieceByteCount)
    var given = 0
    var done = 0
    while done < total {
      while given < total, queue.runningCount < queue.capacity {
        guard try ask(try newBuffer(), given, total) else { break }
        given += min(pieceByteCount, total - given)
      }
      let completion = try next()
      let offset = Int(completion.tag)
      let count = min(pieceByteCount, total - offset)
      guard case .single(let buffer) = completion.takeTransfer().unmap() else { continue }
      let difference = try Self.firstDifference(buffer, file, offset, count, &expected)
      if let difference { result.firstDifference = min(difference, result.firstDifference ?? .max) }
      done += count
      result.commandCount += 1
      progress(done)
      if given < total, try ask(buffer, given, total) {
        given += min(pieceByteCount, total - given)
      }
    }
  }

  /// Has the controller read into a buffer.
  ///
  /// - Returns: as `give`.
  private func ask(
    _ buffer: consuming StreamingBuffer, _ offset: Int, _ total: Int
  ) throws(Stop) -> Bool {
    let block = namespace.blockByteCount
    let count = (min(pieceByteCount, total - offset) + block - 1) / block * block
    switch buffer.map(FromDevice.self, bytes: 0..<count, for: queue.device) {
    case .mapped(let mapping):
      do throws(NVMeError) {
        try queue.read(
          mapping, fromBlock: UInt64(offset / block), of: namespace, tag: UInt64(offset)
        ).get()
      } catch { throw .disk(error) }
      return true
    case .failed(_, let error):
      guard error.isTransient, queue.runningCount > 0 else { throw .disk(.dma(error)) }
      return false
    }
  }

  private static func firstDifference(
    _ buffer: borrowing StreamingBuffer, _ file: OpenFile, _ offset: Int, _ count: Int,
    _ expected: inout [UInt8]
  ) throws(Stop) -> Int? {
    do throws(FileError) {
      var elements = expected.mutableSpan
      var bytes = unsafe elements.mutableBytes
      // SAFETY: the pointer does not outlive the call.
      try unsafe bytes.withUnsafeMutableBytes { (target) throws(FileError) in
        try unsafe file.read(
          into: UnsafeMutableRawBufferPointer(rebasing: target[..<count]), at: offset)
      }
    } catch { throw .file(error) }
    let got = buffer.bytes
    // SAFETY: both have at least that many bytes.
    let isSame = unsafe got.withUnsafeBytes { left in
      unsafe expected.withUnsafeBytes { right in
        guard let left = left.baseAddress, let right = right.baseAddress else { return true }
        return unsafe memcmp(left, right, count) == 0
      }
    }
    if isSame { return nil }
    for index in 0..<count
    where unsafe got.unsafeLoad(fromByteOffset: index, as: UInt8.self) != expected[index] {
      return offset + index
    }
    return nil
  }

  /// Waits for a command that succeeds.
  private func next() throws(Stop) -> NVMeCompletion {
    do throws(NVMeError) {
      guard let completion = try queue.next() else { throw NVMeError.stopped }
      if let error = completion.error {
        _ = completion.takeTransfer().unmap()
        throw error
      }
      return completion
    } catch { throw .disk(error) }
  }

  /// Waits for what still runs, whose memory is then unmapped and freed.
  private func drain() {
    while true {
      do throws(NVMeError) {
        guard let left = try queue.next() else { return }
        _ = left.takeTransfer().unmap()
      } catch {
        // The controller is stopped: the next calls hand out what it left.
        guard error != .dma(.wouldBlock) else { return }
      }
    }
  }

  private func writeTail(
    _ file: OpenFile, _ offset: Int, _ result: inout Result
  ) throws(NVMeError) {
    let block = namespace.blockByteCount
    let first = UInt64(offset / block)
    var buffer: StreamingBuffer
    do throws(DMAError) {
      buffer = try StreamingBuffer(byteCount: block, in: platform, placement: placement)
    } catch { throw .dma(error) }
    try queue.read(into: &buffer, fromBlock: first, of: namespace)
    do throws(Stop) { try Self.fill(&buffer, file, offset, file.byteCount - offset) } catch {
      guard case .disk(let error) = error else { throw .stopped }
      throw error
    }
    try queue.write(from: &buffer, toBlock: first, of: namespace)
    result.commandCount += 2
  }
}
