public import DMA
public import PCI

/// Why a USB controller or a device behind it could not do something.
public enum USBError: Error, Equatable, Sendable {
  /// The function is no OHCI controller; its class code.
  case notOHCI(classCode: UInt32)
  /// The controller did not come out of its reset, or another owner keeps it.
  case notReady(milliseconds: Int)
  /// The controller stopped at an error of the bus: it was reset, and a retry needs a new object.
  case controllerStopped
  /// Nothing is plugged into this port.
  case nothingConnected(port: Int)
  /// The port did not enable its device after a reset.
  case portNotEnabled(port: Int)
  /// The device refused the request; it is usable.
  case stalled
  /// The transfer failed with this condition code (OHCI 1.0a, table 4-7).
  case transferFailed(condition: UInt8)
  /// The controller did not finish in time; its bus mastering was turned off.
  case timedOut(milliseconds: Int)
  /// The device answered with fewer bytes than the answer has, or with others.
  case malformedDescriptor(type: UInt8)
  /// A request moves at most `limit` bytes.
  case tooLong(byteCount: Int, limit: Int)
  case dma(DMAError)
  case pci(PCIError)
}

extension USBError: CustomStringConvertible {
  /// What went wrong.
  public var description: String {
    switch self {
    case .notOHCI(let classCode):
      "not an OHCI controller: class \(String(classCode, radix: 16))"
    case .notReady(let milliseconds): "the controller was not ready after \(milliseconds) ms"
    case .controllerStopped: "the controller stopped at a bus error"
    case .nothingConnected(let port): "nothing is plugged into port \(port)"
    case .portNotEnabled(let port): "port \(port) did not enable its device"
    case .stalled: "the device refused the request"
    case .transferFailed(let condition): "the transfer failed (condition code \(condition))"
    case .timedOut(let milliseconds):
      "the controller did not finish in \(milliseconds) ms; its DMA was turned off"
    case .malformedDescriptor(let type): "the device's descriptor of type \(type) is malformed"
    case .tooLong(let byteCount, let limit): "\(byteCount) bytes asked for, a request has \(limit)"
    case .dma(let error): "\(error.description)"
    case .pci(let error): "\(error.description)"
    }
  }
}
