import CPU
public import DMA
import Startup

extension RegisterWindow {
  /// Device registers in memory, at the CPU's address; nil when the CPU does not reach them.
  public static func memory(at address: UInt64, byteCount: Int) -> RegisterWindow? {
    guard address != 0, byteCount > 0,
      address_space_map(address, UInt64(byteCount), ADDRESS_DEVICE) != 0
    else { return nil }
    return RegisterWindow(unsafeBase: UInt(address), byteCount: byteCount)
  }

  #if arch(x86_64)
    /// Registers behind I/O ports.
    public static func ports(from port: UInt16, byteCount: Int) -> RegisterWindow {
      unsafe RegisterWindow(
        operations: portOperations, context: UnsafeMutableRawPointer(portOperations),
        window: UInt64(port), byteCount: byteCount)
    }
  #endif
}

#if arch(x86_64)
  // Made once, never freed or changed: windows point to it.
  nonisolated(unsafe) private let portOperations: UnsafeMutablePointer<RegisterOperations> = {
    let table = UnsafeMutablePointer<RegisterOperations>.allocate(capacity: 1)
    // SAFETY: freshly allocated for one table.
    unsafe table.initialize(
      to: RegisterOperations(
        read: { _, window, offset, width in
          let port = UInt16(truncatingIfNeeded: window) + UInt16(truncatingIfNeeded: offset)
          switch width {
          case 1: return UInt64(cpu_in8(port))
          case 2: return UInt64(cpu_in16(port))
          case 4: return UInt64(cpu_in32(port))
          // Ports have at most 32 bits.
          default: return .max
          }
        },
        write: { _, window, offset, width, value in
          let port = UInt16(truncatingIfNeeded: window) + UInt16(truncatingIfNeeded: offset)
          switch width {
          case 1: cpu_out8(port, UInt8(truncatingIfNeeded: value))
          case 2: cpu_out16(port, UInt16(truncatingIfNeeded: value))
          case 4: cpu_out32(port, UInt32(truncatingIfNeeded: value))
          default: break
          }
        }))
    return unsafe table
  }()
#endif
