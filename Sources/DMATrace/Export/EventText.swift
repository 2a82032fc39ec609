public import DMA

/// What a live driver does with its device's memory, as lines of a Linux trace.
///
/// So everything that reads Linux's traces reads those of drivers in user space too: `check`,
/// `fault`, `count`. The words are those of `dma:*` events of 6.12 (include/trace/events/dma.h).
public struct EventText: Sendable {
  /// What the lines call the device.
  public let device: String
  /// What the lines call the program, and its process id.
  public let program: String
  public let process: Int32

  public init(device: String, program: String, process: Int32) {
    self.device = device
    self.program = program
    self.process = process
  }

  /// An event's line without its newline; nil for events that Linux has no word for.
  ///
  /// - Parameter nanoseconds: on the clock that the kernel's log uses, to bring both together.
  public func line(_ event: DMAEvent, nanoseconds: UInt64) -> String? {
    guard event.status == .success, let words = words(event) else { return nil }
    let micros = String(nanoseconds / 1000 % 1_000_000)
    let fraction = String(repeating: "0", count: 6 - micros.count) + micros
    return
      "  \(program)-\(process)  [000] ..... \(nanoseconds / 1_000_000_000).\(fraction): \(words)"
  }

  private func words(_ event: DMAEvent) -> String? {
    let address = "dma_addr=" + hex(event.dmaAddress)
    let size = "size=\(event.byteCount)"
    let direction = "dir=" + Self.direction(event.direction)
    switch event.kind {
    case .map where event.known.contains(.physicalAddress):
      return "dma_map_page: \(device) \(direction) \(address) \(size)"
        + " phys_addr=\(hex(event.physicalAddress)) attrs="
    case .unmap: return "dma_unmap_page: \(device) \(direction) \(address) \(size) attrs="
    case .allocate:
      return "dma_alloc: \(device) dir=BIDIRECTIONAL \(address) \(size)"
        + " virt_addr=\(hex(event.cpuAddress)) flags=GFP_KERNEL attrs="
    case .free:
      return "dma_free: \(device) dir=BIDIRECTIONAL \(address) \(size)"
        + " virt_addr=\(hex(event.cpuAddress)) attrs="
    case .syncForCPU:
      return "dma_sync_single_for_cpu: \(device) \(direction) \(address) \(size)"
    case .syncForDevice:
      return "dma_sync_single_for_device: \(device) \(direction) \(address) \(size)"
    default: return nil
    }
  }

  private func hex(_ value: UInt64) -> String { String(value, radix: 16) }

  private static func direction(_ direction: DMADirection?) -> String {
    switch direction {
    case .toDevice: "TO_DEVICE"
    case .fromDevice: "FROM_DEVICE"
    default: "BIDIRECTIONAL"
    }
  }
}
