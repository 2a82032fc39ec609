internal import CPCIDMA
internal import DMA

/// What the macros of `pci_dma.h` add to a call: where it stands, and what kind of call it is.
@safe
struct Place {
  let file: UnsafePointer<CChar>?
  let word: UInt64

  init(_ file: UnsafePointer<CChar>?, _ word: UInt64) {
    unsafe self.file = unsafe file
    self.word = word
  }

  private func has(_ kind: Int32) -> Bool { word >> 48 & UInt64(kind) != 0 }

  /// The device is given as a `struct device`.
  var isDevice: Bool { word >> 48 & UInt64(SWIFTDMA_CALL_DEVICE) != 0 }
  /// The result has to be tested.
  var isTested: Bool { word >> 48 & UInt64(SWIFTDMA_CALL_TESTED) != 0 }
  var isForCPU: Bool { word >> 48 & UInt64(SWIFTDMA_CALL_FOR_CPU) != 0 }
  var isForDevice: Bool { word >> 48 & UInt64(SWIFTDMA_CALL_FOR_DEVICE) != 0 }
  var isStreaming: Bool { word >> 48 & UInt64(SWIFTDMA_CALL_STREAMING) != 0 }
  var isCoherent: Bool { word >> 48 & UInt64(SWIFTDMA_CALL_COHERENT) != 0 }

  /// The place for events.
  var site: CallSite {
    guard let file = unsafe file else {
      return unsafe CallSite(file: nil, fileByteCount: 0, line: 0)
    }
    // SAFETY: the macros give the length of a literal, which lives as long as the program.
    return unsafe CallSite(
      file: UnsafeRawPointer(file).assumingMemoryBound(to: UInt8.self),
      fileByteCount: Int(word >> 32 & 0xffff), line: UInt32(truncatingIfNeeded: word))
  }
}

/// A direction as C gives it; nil for "none" and for what is no direction (R76).
func direction(_ value: Int32) -> DMADirection? {
  value >= 0 && value <= 2 ? DMADirection(rawValue: UInt8(value)) : nil
}
