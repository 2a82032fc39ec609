internal import DMA
internal import PCI

extension OHCIController {
  /// What a transfer came to: how many bytes of data moved, or why it failed.
  enum Outcome {
    case done(byteCount: Int)
    case failed(USBError)
  }

  /// Makes a request of the device on a port and gives the bytes that came back.
  ///
  /// - Throws: `USBError.stalled` when the device does not know it, `.transferFailed`,
  ///   `.timedOut`, `.controllerStopped`, `.tooLong`, `.dma`.
  func control(port: Int, _ request: USBRequest) throws(USBError) -> [UInt8] {
    let byteCount = Int(request.byteCount)
    guard byteCount <= Self.transferByteCountMax else {
      throw .tooLong(byteCount: byteCount, limit: Self.transferByteCountMax)
    }
    precondition(
      request.isFromDevice || byteCount == 0, "requests that send data are not made here")
    guard !isStopped else { throw .controllerStopped }
    let setup = try requestBlock(request)
    guard byteCount > 0 else {
      _ = try Self.count(run(port, request, setup.address, nil))
      return []
    }
    let data = try landing(byteCount)
    let outcome = run(port, request, setup.address, data.address)
    let filled = data.unmap()
    let received = try Self.count(outcome)
    let span = filled.bytes
    // SAFETY: the array copies the bytes before the span ends.
    return unsafe span.withUnsafeBytes { unsafe [UInt8]($0.prefix(received)) }
  }

  private static func count(_ outcome: Outcome) throws(USBError) -> Int {
    switch outcome {
    case .done(let byteCount): return byteCount
    case .failed(let error): throw error
    }
  }

  /// A block with the request's eight bytes.
  private func requestBlock(_ request: USBRequest) throws(USBError) -> DMAPoolBlock {
    do throws(DMAError) {
      let block = try requestPool.allocate()
      let (low, high) = request.words
      block[0, as: UInt32.self] = low.littleEndian
      block[4, as: UInt32.self] = high.littleEndian
      return block
    } catch { throw .dma(error) }
  }

  /// Memory for an answer, the controller's to write.
  private func landing(_ byteCount: Int) throws(USBError) -> StreamingMapping<FromDevice> {
    do throws(DMAError) {
      // Pages of its own: a descriptor's buffer crosses at most one page boundary (section 4.3.1.2).
      let buffer = try StreamingBuffer(
        byteCount: byteCount, in: device.dma.platform, placement: .below(device.dma.mask))
      return try buffer.map(FromDevice.self, for: device.dma).get()
    } catch { throw .dma(error) }
  }

  // MARK: Descriptors

  /// Three descriptors, or two: the request, its data, and the handshake the other way.
  private func run(
    _ port: Int, _ request: USBRequest, _ setup: DMAAddress, _ data: DMAAddress?
  ) -> Outcome {
    do throws(DMAError) {
      let payload = try transferPool.allocateZeroed()
      let status = try transferPool.allocateZeroed()
      let end = try transferPool.allocateZeroed()
      guard let first = tails.take(at: port - 1) else { return .failed(.controllerStopped) }
      let byteCount = UInt32(request.byteCount)
      fill(
        first, OHCITransfer.setup | OHCITransfer.data0 | OHCITransfer.quiet, setup,
        UInt32(USBRequest.wireByteCount),
        next: data == nil ? Self.busAddress(status) : Self.busAddress(payload))
      if let data {
        fill(
          payload,
          OHCITransfer.input | OHCITransfer.data1 | OHCITransfer.shortIsFine | OHCITransfer.quiet,
          data, byteCount, next: Self.busAddress(status))
      }
      fill(
        status,
        (data == nil ? OHCITransfer.input : OHCITransfer.out) | OHCITransfer.data1,
        nil, 0, next: Self.busAddress(end))
      let retired = start(port, from: first, to: end)
      // Nothing reads or writes the blocks any more: the queue is empty, or the bus is off.
      tails.put(end, at: port - 1)
      guard retired else { return .failed(stop()) }
      if let error = failure(first) ?? failure(payload) ?? failure(status) {
        return .failed(error)
      }
      guard let data else { return .done(byteCount: 0) }
      // Where the next byte would have gone; zero when the buffer is full.
      let current = payload[OHCITransfer.buffer, as: UInt32.self]
      return .done(
        byteCount: current == 0
          ? Int(byteCount) : Int(current &- UInt32(truncatingIfNeeded: data.rawValue)))
    } catch { return .failed(.dma(error)) }
  }

  private func fill(
    _ transfer: borrowing DMAPoolBlock, _ information: UInt32, _ buffer: DMAAddress?,
    _ byteCount: UInt32, next: UInt32
  ) {
    let start = buffer.map { UInt32(truncatingIfNeeded: $0.rawValue) } ?? 0
    transfer[OHCITransfer.information, as: UInt32.self] = information | OHCITransfer.notAccessed
    transfer[OHCITransfer.buffer, as: UInt32.self] = start
    transfer[OHCITransfer.next, as: UInt32.self] = next
    transfer[OHCITransfer.bufferEnd, as: UInt32.self] =
      buffer == nil ? 0 : start &+ (byteCount &- 1)
  }

  /// Why a descriptor failed; nil when it did not, or was never reached.
  private func failure(_ transfer: borrowing DMAPoolBlock) -> USBError? {
    let condition = OHCITransfer.condition(transfer[OHCITransfer.information, as: UInt32.self])
    switch condition {
    case 0, 14, 15: return nil
    case 4: return .stalled
    default: return .transferFailed(condition: condition)
    }
  }

  /// Hands a queue over and waits until the controller has written what is done.
  ///
  /// - Returns: false when it did not in time.
  private func start(
    _ port: Int, from first: borrowing DMAPoolBlock, to end: borrowing DMAPoolBlock
  ) -> Bool {
    // The descriptors are complete before the tail moves, and the tail before the doorbell.
    DMABarrier.write()
    let newTail = Self.busAddress(end)
    endpoints.with(port - 1) { $0[OHCIEndpoint.tail, as: UInt32.self] = newTail }
    registers.write(OHCICommand.controlListFilled, at: OHCIRegister.commandStatus)
    var isDone = false
    let limit = UInt64(Self.transferMilliseconds) * 1_000_000
    areas.with(0) { area in
      let offset = OHCICommunicationArea.doneHeadOffset
      // Only the last descriptor asks for it, or one that failed.
      try? device.dma.platform.wait(nanoseconds: limit) {
        isDone = area[offset, as: UInt32.self] & ~1 != 0
        return isDone
      }
      DMABarrier.read()
      area[offset, as: UInt32.self] = 0
    }
    guard isDone else { return false }
    // The controller writes no other queue before this.
    registers.write(OHCIInterrupt.doneQueue, at: OHCIRegister.interruptStatus)
    endpoints.with(port - 1) { endpoint in
      // After an error the queue is halted in front of what was not reached.
      if endpoint[OHCIEndpoint.head, as: UInt32.self] & OHCIEndpoint.halted != 0 {
        endpoint[OHCIEndpoint.head, as: UInt32.self] = newTail
      }
    }
    return true
  }

  /// Takes the controller off the bus, so that it reads and writes no memory any more.
  private func stop() -> USBError {
    let status: UInt32 = registers.read(at: OHCIRegister.interruptStatus)
    isStopped = true
    registers.write(OHCICommand.reset, at: OHCIRegister.commandStatus)
    device.disableBusMastering()
    // All ones: the function is gone.
    let isError = status != .max && status & OHCIInterrupt.unrecoverable != 0
    return isError ? .controllerStopped : .timedOut(milliseconds: Self.transferMilliseconds)
  }
}
