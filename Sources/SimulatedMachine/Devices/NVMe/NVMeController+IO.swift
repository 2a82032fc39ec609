// I/O commands and the memory they name. SAFETY of every access to `state`: as in Queues.

extension NVMeController {
  var blockCount: UInt64 { storage.byteCount / UInt64(options.blockByteCount) }

  func performIO(_ command: NVMeEntry) -> NVMeCode {
    guard
      command.namespace == 1 || (command.opcode == NVMeOpcode.flush && command.namespace == .max)
    else { return .invalidNamespace }
    switch command.opcode {
    case NVMeOpcode.flush: return code(storage.flush(), .writeFault)
    case NVMeOpcode.read: return read(command)
    case NVMeOpcode.write: return write(command)
    case NVMeOpcode.writeZeroes: return writeZeroes(command)
    default: return .invalidOpcode
    }
  }

  private func code(_ outcome: NVMeStorage.Outcome, _ failure: NVMeCode) -> NVMeCode {
    switch outcome {
    case .done: .success
    case .full: .capacityExceeded
    case .failed: failure
    }
  }

  private func isInside(_ command: NVMeEntry) -> Bool {
    command.firstBlock <= blockCount && command.blockCount <= blockCount - command.firstBlock
  }

  private func read(_ command: NVMeEntry) -> NVMeCode {
    guard isInside(command) else { return .outOfRange }
    let byteCount = Int(command.blockCount) * options.blockByteCount
    guard byteCount <= options.transferByteCountMax else { return .invalidField }
    let offset = command.firstBlock * UInt64(options.blockByteCount)
    var medium = unsafe storage.memory(at: offset, byteCount: byteCount)
    if unsafe medium == nil {
      let staging = unsafe UnsafeMutableRawBufferPointer(
        rebasing: state.pointee.staging[..<byteCount])
      let outcome = unsafe storage.read(at: offset, into: staging)
      guard outcome == .done else { return code(outcome, .unrecoveredReadError) }
      unsafe medium = UnsafeRawBufferPointer(staging)
    }
    counters.readCommands += 1
    counters.blocksRead += command.blockCount
    return unsafe move(command, byteCount, .toMemory(medium?.baseAddress))
  }

  private func write(_ command: NVMeEntry) -> NVMeCode {
    guard isInside(command) else { return .outOfRange }
    guard !storage.isReadOnly else { return .writeProtected }
    let byteCount = Int(command.blockCount) * options.blockByteCount
    guard byteCount <= options.transferByteCountMax else { return .invalidField }
    let moved = move(command, byteCount, .fromMemory)
    guard moved == .success else { return moved }
    let staging = unsafe UnsafeRawBufferPointer(rebasing: state.pointee.staging[..<byteCount])
    let offset = command.firstBlock * UInt64(options.blockByteCount)
    counters.writeCommands += 1
    counters.blocksWritten += command.blockCount
    return code(unsafe storage.write(at: offset, from: staging), .writeFault)
  }

  private func writeZeroes(_ command: NVMeEntry) -> NVMeCode {
    guard isInside(command) else { return .outOfRange }
    guard !storage.isReadOnly else { return .writeProtected }
    let block = UInt64(options.blockByteCount)
    return code(
      storage.writeZeroes(
        at: command.firstBlock * block, byteCount: command.blockCount * block), .writeFault)
  }

  /// Which way a command's bytes go.
  @safe
  enum Way {
    /// From there, which is not nil where there are bytes, to memory.
    case toMemory(UnsafeRawPointer?)
    /// From memory to staging.
    case fromMemory
  }

  /// Moves bytes to or from the memory that a command's PRP entries name (NVM Express 1.4, 4.3).
  ///
  /// Page after page: only the first may begin inside of a page.
  func move(_ command: NVMeEntry, _ byteCount: Int, _ way: Way) -> NVMeCode {
    let page = UInt64(pageByteCount)
    guard command.prp1 & 3 == 0 else { return .invalidPRPOffset }
    let first = min(byteCount, pageByteCount - Int(command.prp1 & (page - 1)))
    guard moveRun(command.prp1, 0, first, way) else { return .dataTransferError }
    if first == byteCount { return .success }
    if byteCount - first <= pageByteCount {
      guard command.prp2 & (page - 1) == 0 else { return .invalidPRPOffset }
      return moveRun(command.prp2, first, byteCount - first, way)
        ? .success : .dataTransferError
    }
    return moveList(command.prp2, first, byteCount, way)
  }

  /// Goes through PRP lists: a list ends with its page, and its last entry then names the next.
  private func moveList(
    _ start: UInt64, _ first: Int, _ byteCount: Int, _ way: Way
  ) -> NVMeCode {
    let page = UInt64(pageByteCount)
    var listAddress = start
    var done = first
    guard listAddress & 7 == 0 else { return .invalidPRPOffset }
    while done < byteCount {
      let needed = (byteCount - done + pageByteCount - 1) / pageByteCount
      let room = (pageByteCount - Int(listAddress & (page - 1))) / 8
      let isLast = needed <= room
      let count = isLast ? needed : room
      let buffer = unsafe UnsafeMutableRawBufferPointer(
        start: state.pointee.list, count: count * 8)
      guard unsafe readMemory(listAddress, into: buffer) == .done else {
        return .dataTransferError
      }
      for index in 0..<(isLast ? count : count - 1) {
        let entry = unsafe state.pointee.list[index]
        guard entry & (page - 1) == 0 else { return .invalidPRPOffset }
        let run = min(byteCount - done, pageByteCount)
        guard moveRun(entry, done, run, way) else { return .dataTransferError }
        done += run
      }
      guard !isLast else { break }
      listAddress = unsafe state.pointee.list[count - 1]
      guard listAddress & (page - 1) == 0 else { return .invalidPRPOffset }
    }
    return .success
  }

  private func moveRun(_ given: UInt64, _ offset: Int, _ count: Int, _ way: Way) -> Bool {
    let address = given & options.mask
    var isWrite = false
    if case .toMemory = way { isWrite = true }
    if address != given {
      report(.clamped(given: given), address: address, byteCount: count, isWrite: isWrite)
    }
    switch way {
    case .toMemory(let source):
      let part = unsafe UnsafeRawBufferPointer(
        start: source.map { unsafe $0 + offset }, count: count)
      return unsafe writeMemory(address, from: part) == .done
    case .fromMemory:
      let part = unsafe UnsafeMutableRawBufferPointer(
        rebasing: state.pointee.staging[offset..<offset + count])
      return unsafe readMemory(address, into: part) == .done
    }
  }
}
