public import DMA

/// Why a PCI call could not be done.
public enum PCIError: Error, Equatable, Sendable {
  /// No function answers at this address.
  case noDevice(PCIAddress)
  /// The function has no such base address register, or it is for I/O ports.
  case noBAR(index: Int)
  /// The function lacks this capability.
  case noCapability(id: UInt8)
  /// The capability offers fewer vectors.
  case noVector(index: Int, count: Int)
  /// No room left in the memory window for a BAR of this size.
  case outOfBARSpace(byteCount: UInt64)
  /// The machine's own call failed.
  case machine(DMAError)
}

extension PCIError: CustomStringConvertible {
  /// What went wrong.
  public var description: String {
    switch self {
    case .noDevice(let address): "no device at \(address)"
    case .noBAR(let index): "the device has no memory BAR \(index)"
    case .noCapability(let id): "the device has no capability 0x\(String(id, radix: 16))"
    case .noVector(let index, let count): "interrupt vector \(index) of \(count)"
    case .outOfBARSpace(let byteCount): "no room for a BAR of \(byteCount) bytes"
    case .machine(let error): "\(error.description)"
    }
  }
}
