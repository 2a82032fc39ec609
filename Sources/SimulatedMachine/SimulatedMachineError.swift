internal import DMA
public import PCI

/// Why a simulated machine could not be made or changed.
public enum SimulatedMachineError: Error, Equatable, Sendable {
  /// The memory size is not a multiple of 1 MiB, or not between 32 MiB and 16 TiB.
  case invalidMemorySize(UInt64)
  /// The IOMMU model takes addresses of 39 or 48 bits.
  case invalidAddressWidth(Int)
  /// The host refused memory or addresses, with its error number; a retry can help.
  case host(code: Int)
  /// Another device sits at this address.
  case slotTaken(PCIAddress)
  /// The bus has no free place, or the address is not on bus 0.
  case noSlot
  /// No place left for the device's registers.
  case outOfBARSpace(byteCount: UInt64)
  /// The device is attached to a machine already, or was: make a new one.
  case deviceInUse
  /// No device sits at this address.
  case noDevice(PCIAddress)
}

extension SimulatedMachineError: CustomStringConvertible {
  /// What went wrong, with the numbers.
  public var description: String {
    switch self {
    case .invalidMemorySize(let byteCount):
      "\(byteCount) bytes of memory: it takes a multiple of 1 MiB from 32 MiB to 16 TiB"
    case .invalidAddressWidth(let bitCount): "an IOMMU of \(bitCount) bits: it has 39 or 48"
    case .host(let code): "the host refused memory (error \(code))"
    case .slotTaken(let address): "a device sits at \(address) already"
    case .noSlot: "no free place on bus 0"
    case .outOfBARSpace(let byteCount): "no place for \(byteCount) bytes of registers"
    case .deviceInUse: "the device belongs to a machine already"
    case .noDevice(let address): "no device at \(address)"
    }
  }
}

extension SimulatedMachineError {
  /// Why there is no RAM.
  init(memory error: DMAError) {
    // ENOMEM where no number came along: addresses or memory are what can be short.
    if case .machine(let code) = error { self = .host(code: code) } else { self = .host(code: 12) }
  }
}
