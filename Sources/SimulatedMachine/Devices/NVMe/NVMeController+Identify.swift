// Data structures that admin commands return. SAFETY of every access to `state`: as in Queues.

extension NVMeController {
  /// Returns one of the structures of NVM Express 1.4, 5.15.2.
  func identify(_ command: NVMeEntry) -> NVMeCode {
    clear(4096)
    switch command.word10 & 0xff {
    case 0x00:
      guard command.namespace == 1 || command.namespace == .max else { return .invalidNamespace }
      identifyNamespace()
    case 0x01: identifyController()
    case 0x02:
      guard command.namespace < 0xffff_fffe else { return .invalidNamespace }
      // Active namespaces above the one given.
      if command.namespace < 1 { put32(0, 1) }
    case 0x03:
      guard command.namespace == 1 else { return .invalidNamespace }
      // One descriptor: type 1 (EUI64), 8 bytes.
      put8(0, 1)
      put8(1, 8)
      put64(4, 0x5254_00ff_fe12_3456)
    default: return .invalidField
    }
    return unsafe move(command, 4096, .toMemory(state.pointee.staging.baseAddress))
  }

  private func identifyController() {
    put16(0, identity.vendorID)
    put16(2, identity.subsystemVendorID)
    putText(4, 20, "SIM0000000000001")
    putText(24, 40, "Simulated NVMe Controller")
    putText(64, 8, "1.0")
    // Recommended arbitration burst 2^6; the largest transfer in pages of 4096 bytes.
    put8(72, 6)
    put8(77, UInt8((options.transferByteCountMax / 4096).trailingZeroBitCount))
    put32(80, 0x0001_0400)
    // One abort at a time, event requests (both counted from zero).
    put8(259, UInt8(Self.eventRequestCountMax - 1))
    // One firmware slot that is read-only.
    put8(260, 0x03)
    // Entries of 64 and 16 bytes.
    put8(512, 0x66)
    put8(513, 0x44)
    put32(516, 1)
    // Write zeroes; a volatile write cache.
    put16(520, 1 << 3)
    put8(525, 1)
    putText(
      768, 256, "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-4000-8000-000000000001", pad: 0)
  }

  private func identifyNamespace() {
    put64(0, blockCount)
    put64(8, blockCount)
    put64(16, blockCount)
    // One format: no metadata, the block's size as a power of two.
    put8(99, storage.isReadOnly ? 1 : 0)
    put8(130, UInt8(options.blockByteCount.trailingZeroBitCount))
  }

  /// Error, health and firmware logs (NVM Express 1.4, 5.14).
  func getLogPage(_ command: NVMeEntry) -> NVMeCode {
    let words = UInt64(command.word10 >> 16) | UInt64(command.word11 & 0xffff) << 16
    let byteCount = Int(min(words + 1, 1 << 20)) * 4
    guard byteCount <= 4096, command.word12 == 0, command.word13 == 0 else { return .invalidField }
    clear(4096)
    switch command.word10 & 0xff {
    case 0x01: break
    case 0x02:
      // 300 K, spare full; thousands of 512 bytes read and written, then commands.
      put16(1, 300)
      put8(3, 100)
      let unit = UInt64(512_000 / options.blockByteCount)
      put64(32, (counters.blocksRead + unit - 1) / unit)
      put64(48, (counters.blocksWritten + unit - 1) / unit)
      put64(64, counters.readCommands)
      put64(80, counters.writeCommands)
    case 0x03:
      put8(0, 1)
      putText(8, 8, "1.0")
    default: return .invalidLogPage
    }
    return unsafe move(command, byteCount, .toMemory(state.pointee.staging.baseAddress))
  }

  // MARK: Bytes in staging

  private func clear(_ byteCount: Int) {
    for offset in 0..<byteCount { put8(offset, 0) }
  }

  private func put8(_ offset: Int, _ value: UInt8) {
    // SAFETY: staging has at least 4096 bytes, and all offsets are below.
    unsafe state.pointee.staging[offset] = value
  }

  private func put16(_ offset: Int, _ value: UInt16) {
    put8(offset, UInt8(truncatingIfNeeded: value))
    put8(offset + 1, UInt8(truncatingIfNeeded: value >> 8))
  }

  private func put32(_ offset: Int, _ value: UInt32) {
    put16(offset, UInt16(truncatingIfNeeded: value))
    put16(offset + 2, UInt16(truncatingIfNeeded: value >> 16))
  }

  private func put64(_ offset: Int, _ value: UInt64) {
    put32(offset, UInt32(truncatingIfNeeded: value))
    put32(offset + 4, UInt32(truncatingIfNeeded: value >> 32))
  }

  /// ASCII, filled up with spaces unless told otherwise.
  private func putText(_ offset: Int, _ byteCount: Int, _ text: StaticString, pad: UInt8 = 0x20) {
    for index in 0..<byteCount {
      // SAFETY: the index is below the text's count where it is read.
      let byte = unsafe index < text.utf8CodeUnitCount ? text.utf8Start[index] : pad
      put8(offset + index, byte)
    }
  }
}
