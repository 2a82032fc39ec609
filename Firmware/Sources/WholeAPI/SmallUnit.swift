import DMA
import DMAMapping

/// The registers of a VT-d unit that does at once what it is told and holds one fault.
@safe
final class SmallUnit {
  let words: UnsafeMutablePointer<UInt64>
  let table: UnsafeMutablePointer<RegisterOperations>

  init() {
    unsafe words = .allocate(capacity: 512)
    unsafe words.initialize(repeating: 0, count: 512)
    // Version 1; 16 domains, 3 levels, 39 bits, one fault record at 0x220, invalidation by page.
    unsafe words[0] = 0x10
    unsafe words[1] = 1 << 9 | 38 << 16 | 0x22 << 24 | 1 << 39 | 9 << 48
    // Coherent; invalidation registers at 0x100.
    unsafe words[2] = 1 | 0x10 << 8
    // A read at 0x5000 by 00:01.0 that was not permitted.
    unsafe words[0x220 / 8] = 0x5000
    unsafe words[0x228 / 8] = 1 << 63 | 1 << 62 | 6 << 32 | 8
    // The status register, 4 bytes on, says that there is a record.
    unsafe words[0x30 / 8] = 2 << 32
    unsafe table = .allocate(capacity: 1)
    unsafe table.initialize(
      to: RegisterOperations(
        read: { context, _, offset, width in
          let word = unsafe context.assumingMemoryBound(to: UInt64.self)[offset / 8 % 512]
          return width == 8 ? word : word >> UInt64(offset % 8 * 8)
        },
        write: { context, _, offset, width, value in
          let words = unsafe context.assumingMemoryBound(to: UInt64.self)
          switch offset {
          // Global command: the status register, 4 bytes on, follows.
          case 0x18: unsafe words[3] = (value | words[3] >> 32 & 1 << 30) << 32
          // Invalidation commands are done at once.
          case 0x28, 0x108: unsafe words[offset / 8] = value & ~(1 << 63)
          // The fault record is cleared by writing its upper bit.
          case 0x22c:
            unsafe words[0x228 / 8] &= ~(1 << 63)
            unsafe words[0x30 / 8] = 0
          default: if width == 8 { unsafe words[offset / 8 % 512] = value }
          }
        }))
  }

  deinit {
    unsafe words.deallocate()
    unsafe table.deallocate()
  }

  var registers: RegisterWindow {
    unsafe RegisterWindow(
      operations: UnsafePointer(table), context: UnsafeMutableRawPointer(words), window: 0,
      byteCount: 4096)
  }
}

/// A unit that a user of the library writes: it has nothing to invalidate.
@safe
final class OwnUnit {
  let operations: UnsafeMutablePointer<IOMMUUnitOperations>
  let attached: UnsafeMutablePointer<UInt16>

  init() {
    unsafe attached = .allocate(capacity: 1)
    unsafe attached.initialize(to: 0)
    unsafe operations = .allocate(capacity: 1)
    unsafe operations.initialize(
      to: IOMMUUnitOperations(
        beginDomain: { _, root, levels, numbers in
          unsafe numbers[0] = root != 0 && levels == 3 ? 7 : 0
          return DMAStatus.success.rawValue
        },
        endDomain: { _, _ in DMAStatus.success.rawValue },
        attach: { context, _, requester, _ in
          unsafe context.assumingMemoryBound(to: UInt16.self).pointee = requester
          return DMAStatus.success.rawValue
        },
        detach: { context, _, _, _ in
          unsafe context.assumingMemoryBound(to: UInt16.self).pointee = 0
          return DMAStatus.success.rawValue
        },
        invalidateRange: { _, _, _, _, _ in DMAStatus.success.rawValue },
        invalidateDomain: { _, _ in DMAStatus.success.rawValue }))
  }

  deinit {
    unsafe operations.deinitialize(count: 1)
    unsafe operations.deallocate()
    unsafe attached.deallocate()
  }
}
