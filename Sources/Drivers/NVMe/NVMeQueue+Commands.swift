public import DMA
internal import PCI

// Commands whose memory the queue owns while they run. None waits; the doorbell rings later.

extension NVMeQueue {
  /// Reads blocks into mapped memory.
  ///
  /// - Parameters:
  ///   - mapping: as many bytes as blocks are read.
  ///   - tag: what the completion calls the command.
  /// - Returns: also `NVMeError.partialBlock`, `.outOfRange`, `.tooLong`, `.misaligned`,
  ///   `.stopped`, with which a retry cannot help; `.queueFull` and `.dma` of the list's memory,
  ///   with which it can.
  public func read(
    _ mapping: consuming StreamingMapping<FromDevice>, fromBlock first: UInt64,
    of namespace: NVMeNamespace, tag: UInt64 = 0
  ) -> NVMeSubmission {
    let byteCount = mapping.byteCount
    return submit(
      .read(mapping), NVMeOpcode.read, namespace, first: first, byteCount: byteCount, tag: tag)
  }

  /// Writes mapped memory to blocks.
  ///
  /// As `read(_:fromBlock:of:tag:)`; also `NVMeError.readOnly`.
  public func write(
    _ mapping: consuming StreamingMapping<ToDevice>, toBlock first: UInt64,
    of namespace: NVMeNamespace, tag: UInt64 = 0
  ) -> NVMeSubmission {
    let byteCount = mapping.byteCount
    return submit(
      .write(mapping), NVMeOpcode.write, namespace, first: first, byteCount: byteCount, tag: tag)
  }

  /// Reads blocks into a list, whose segments must meet at page ends.
  ///
  /// As `read(_:fromBlock:of:tag:)`.
  public func read(
    _ mapping: consuming ScatterMapping<FromDevice>, fromBlock first: UInt64,
    of namespace: NVMeNamespace, tag: UInt64 = 0
  ) -> NVMeSubmission {
    let byteCount = mapping.byteCount
    return submit(
      .readList(mapping), NVMeOpcode.read, namespace, first: first, byteCount: byteCount, tag: tag)
  }

  /// Writes a list to blocks.
  ///
  /// As `write(_:toBlock:of:tag:)`; segments must meet at page ends.
  public func write(
    _ mapping: consuming ScatterMapping<ToDevice>, toBlock first: UInt64,
    of namespace: NVMeNamespace, tag: UInt64 = 0
  ) -> NVMeSubmission {
    let byteCount = mapping.byteCount
    return submit(
      .writeList(mapping), NVMeOpcode.write, namespace, first: first, byteCount: byteCount,
      tag: tag)
  }

  /// Makes what was written by completed commands survive a loss of power.
  ///
  /// - Returns: also `NVMeError.stopped`, with which a retry cannot help; `.queueFull`, with which
  ///   it can.
  public func flush(_ namespace: NVMeNamespace, tag: UInt64) -> NVMeSubmission {
    submit(NVMeCommand(opcode: NVMeOpcode.flush, namespace: namespace.id), .none, tag: tag)
  }

  private func submit(
    _ transfer: consuming NVMeTransfer, _ opcode: UInt8, _ namespace: NVMeNamespace, first: UInt64,
    byteCount: Int, tag: UInt64
  ) -> NVMeSubmission {
    let blockCount: Int
    do throws(NVMeError) {
      blockCount = try check(opcode, namespace, first, byteCount)
    } catch {
      return .refused(transfer, error)
    }
    return submit(
      .blocks(opcode, namespace.id, first: first, count: blockCount), transfer, tag: tag)
  }

  func check(
    _ opcode: UInt8, _ namespace: NVMeNamespace, _ first: UInt64, _ byteCount: Int
  ) throws(NVMeError) -> Int {
    let blockCount = try namespace.blocks(in: byteCount)
    try namespace.check(first: first, count: UInt64(blockCount))
    guard opcode == NVMeOpcode.read || !namespace.isReadOnly else {
      throw .readOnly(namespace: namespace.id)
    }
    // The field for the count has 16 bits.
    guard blockCount <= 65536 else {
      throw .tooLong(byteCount: byteCount, limit: 65536 * namespace.blockByteCount)
    }
    return blockCount
  }
}

// Calls that wait. Each needs the queue without running commands.

extension NVMeQueue {
  /// Reads blocks into a buffer and waits.
  ///
  /// Any length: it is split into commands, many of which run at once.
  ///
  /// - Parameter bytes: the part of the buffer to fill; all of it when nil. It begins at a multiple
  ///   of 4.
  /// - Throws: `NVMeError.partialBlock`, `.outOfRange`, `.misaligned`, `.queueBusy`, `.stopped`,
  ///   `.dma` when the memory cannot be mapped: nothing was read. `.failed` when the controller
  ///   failed a command: some bytes may have been read. What `next()` throws.
  public func read(
    into buffer: inout StreamingBuffer, bytes: Range<Int>? = nil, fromBlock first: UInt64,
    of namespace: NVMeNamespace
  ) throws(NVMeError) {
    try move(NVMeOpcode.read, &buffer, bytes, first, namespace)
  }

  /// Writes a buffer to blocks and waits.
  ///
  /// As `read(into:bytes:fromBlock:of:)`; also `NVMeError.readOnly`. What was written survives a
  /// loss of power only after `flush(_:)`.
  public func write(
    from buffer: inout StreamingBuffer, bytes: Range<Int>? = nil, toBlock first: UInt64,
    of namespace: NVMeNamespace
  ) throws(NVMeError) {
    try move(NVMeOpcode.write, &buffer, bytes, first, namespace)
  }

  /// Makes what was written survive a loss of power.
  ///
  /// - Throws: `NVMeError.failed`, `.queueBusy`, `.stopped`, and what `next()` throws.
  public func flush(_ namespace: NVMeNamespace) throws(NVMeError) {
    _ = try run(NVMeCommand(opcode: NVMeOpcode.flush, namespace: namespace.id))
  }

  /// Makes blocks zero, without a transfer.
  ///
  /// - Throws: `NVMeError.outOfRange`, `.readOnly`, `.failed`, `.queueBusy`, `.stopped`, and what
  ///   `next()` throws.
  public func writeZeroes(
    firstBlock first: UInt64, blockCount: UInt64, of namespace: NVMeNamespace
  ) throws(NVMeError) {
    try requireIdle()
    guard !namespace.isReadOnly else { throw .readOnly(namespace: namespace.id) }
    try namespace.check(first: first, count: blockCount)
    var done: UInt64 = 0
    while done < blockCount {
      let count = min(blockCount - done, 65536)
      _ = try run(
        .blocks(NVMeOpcode.writeZeroes, namespace.id, first: first + done, count: Int(count)))
      done += count
    }
  }

  /// What every call that waits needs before it begins: later it could not take its memory back.
  func requireIdle() throws(NVMeError) {
    guard !ExecutionContext.current.isAtomic else { throw .dma(.wouldBlock) }
    guard !shared.isStopped else { throw .stopped }
    guard runningCount == 0 else { throw .queueBusy(runningCount: runningCount) }
  }

  /// Gives one command without data, or with memory the caller keeps mapped, and waits for it.
  ///
  /// - Returns: its result.
  func run(
    _ command: NVMeCommand, address: DMAAddress? = nil, byteCount: Int = 0
  ) throws(NVMeError) -> UInt32 {
    try requireIdle()
    if let address {
      try submit(command, address: address, byteCount: byteCount, tag: 0)
    } else {
      try submit(command, .none, tag: 0).get()
    }
    guard let done = try nextOrNone() else { throw .stopped }
    if let error = done.error { throw error }
    return done.result
  }

  /// `next()`; when it stops the controller, no command of the call keeps anything.
  private func nextOrNone() throws(NVMeError) -> NVMeCompletion? {
    do throws(NVMeError) {
      return try next()
    } catch {
      while let left = takeAborted() { _ = left.takeTransfer().unmap() }
      throw error
    }
  }

  private func move(
    _ opcode: UInt8, _ buffer: inout StreamingBuffer, _ bytes: Range<Int>?, _ first: UInt64,
    _ namespace: NVMeNamespace
  ) throws(NVMeError) {
    try requireIdle()
    let bytes = bytes ?? 0..<buffer.byteCount
    let blockCount = try namespace.blocks(in: bytes.count)
    try namespace.check(first: first, count: UInt64(blockCount))
    guard opcode == NVMeOpcode.read || !namespace.isReadOnly else {
      throw .readOnly(namespace: namespace.id)
    }
    // Whole pages where more than one mapping is needed, so that each begins as the first does.
    let most = max(
      shared.device.dma.maxMappingSize & ~(NVMePage.byteCount - 1), NVMePage.byteCount)
    var done = 0
    while done < bytes.count {
      let start = bytes.lowerBound + done
      let piece = start..<start + min(bytes.count - done, most)
      let block = first + UInt64(done / namespace.blockByteCount)
      if opcode == NVMeOpcode.read {
        try readMapped(&buffer, piece, block, namespace)
      } else {
        try writeMapped(opcode, &buffer, piece, block, namespace)
      }
      done += piece.count
    }
  }

  // Two functions instead of one with a generic direction, which crashes the compiler in Embedded
  // mode where the mapping ends (6.3.1: hasValidSignatureForEmbedded).

  private func readMapped(
    _ buffer: inout StreamingBuffer, _ piece: Range<Int>, _ block: UInt64,
    _ namespace: NVMeNamespace
  ) throws(NVMeError) {
    let mapped: MappedBytes<FromDevice>
    do throws(DMAError) {
      mapped = try MappedBytes(&buffer, bytes: piece, FromDevice.self, for: shared.device.dma)
    } catch { throw .dma(error) }
    try moveMapped(NVMeOpcode.read, mapped.address, piece.count, block, namespace)
  }

  private func writeMapped(
    _ opcode: UInt8, _ buffer: inout StreamingBuffer, _ piece: Range<Int>, _ block: UInt64,
    _ namespace: NVMeNamespace
  ) throws(NVMeError) {
    let mapped: MappedBytes<ToDevice>
    do throws(DMAError) {
      mapped = try MappedBytes(&buffer, bytes: piece, ToDevice.self, for: shared.device.dma)
    } catch { throw .dma(error) }
    try moveMapped(opcode, mapped.address, piece.count, block, namespace)
  }

  /// Splits mapped memory into commands and waits for all of them, also after one has failed.
  private func moveMapped(
    _ opcode: UInt8, _ address: DMAAddress, _ byteCount: Int, _ first: UInt64,
    _ namespace: NVMeNamespace
  ) throws(NVMeError) {
    let most = min(transferByteCountMax, 65536 * namespace.blockByteCount)
    var given = 0
    var failure: NVMeError?
    while given < byteCount || runningCount > 0 {
      while given < byteCount, failure == nil, runningCount < capacity {
        let count = min(byteCount - given, most)
        let block = first + UInt64(given / namespace.blockByteCount)
        do throws(NVMeError) {
          try submit(
            .blocks(opcode, namespace.id, first: block, count: count / namespace.blockByteCount),
            address: address.advanced(by: given), byteCount: count, tag: 0)
        } catch { failure = error }
        given += count
      }
      if failure != nil { given = byteCount }
      if let done = try nextOrNone(), failure == nil { failure = done.error }
    }
    if let failure { throw failure }
  }
}
