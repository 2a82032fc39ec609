import CPU
import DMA
import Startup

// One core and no interrupt handlers of its own: nothing here needs a lock.

/// The machine's side of `Platform`.
var bareOperations: PlatformOperations {
  unsafe PlatformOperations(
    allocatePages: { context, byteCount, alignment, limit, options, numbers in
      unsafe allocatePages(
        MachineState.at(context), byteCount, alignment, limit, PageOptions(rawValue: options),
        numbers)
    },
    freePages: { context, _, physicalAddress, byteCount, _ in
      let memory = unsafe MachineState.at(context).pointee.memory
      let first = unsafe Int((physicalAddress - memory.pointee.pages.start) / PageMap.pageByteCount)
      let count = (byteCount + 4095) / 4096
      unsafe memory.pointee.pages.release(first..<(first + count))
    },
    resolve: { context, address, byteCount, numbers in
      let memory = unsafe MachineState.at(context).pointee.memory
      let kind = unsafe memory.pointee.kind(of: UInt64(address), byteCount: byteCount)
      guard kind.isDMAable else {
        unsafe numbers[0] = UInt64(kind.rawValue)
        return DMAStatus.notDMAable.rawValue
      }
      // Memory is mapped at its own address.
      unsafe numbers[0] = UInt64(address)
      return DMAStatus.success.rawValue
    },
    maintainCache: { context, address, byteCount, operation in
      unsafe maintainCache(
        MachineState.at(context), address, byteCount, CacheOperation(rawValue: operation))
    },
    now: { context in
      let state = unsafe MachineState.at(context)
      let ticks = unsafe cpu_ticks() &- state.pointee.startTicks
      let frequency = unsafe state.pointee.ticksPerSecond
      // Seconds and their rest apart: the product stays within 64 bits.
      return ticks / frequency &* 1_000_000_000
        &+ ticks % frequency &* 1_000_000_000 / frequency
    },
    relax: { _ in cpu_relax() })
}

private func allocatePages(
  _ state: UnsafeMutablePointer<MachineState>, _ byteCount: Int, _ alignment: Int,
  _ limit: UInt64, _ options: PageOptions, _ numbers: UnsafeMutablePointer<UInt64>
) -> Int32 {
  let memory = unsafe state.pointee.memory
  let count = (byteCount + 4095) / 4096
  guard
    let page = unsafe memory.pointee.pages.take(
      count: count, alignment: UInt64(alignment), limit: limit,
      highest: options.contains(.high))
  else {
    unsafe numbers[0] = UInt64(byteCount)
    unsafe numbers[1] = limit
    return DMAStatus.outOfMemory.rawValue
  }
  let physical = unsafe memory.pointee.pages.start + UInt64(page) * PageMap.pageByteCount
  guard let start = unsafe UnsafeMutableRawPointer(bitPattern: UInt(physical)) else {
    unsafe memory.pointee.pages.release(page..<(page + count))
    unsafe numbers[0] = UInt64(byteCount)
    unsafe numbers[1] = limit
    return DMAStatus.outOfMemory.rawValue
  }
  // SAFETY: RAM that the page map has just given out, mapped at its own address.
  unsafe start.initializeMemory(as: UInt8.self, repeating: 0, count: count * 4096)
  var address = UInt(physical)
  if unsafe options.contains(.uncached) && !state.pointee.isCoherent {
    // No dirty line may be written back over the device's bytes later.
    unsafe maintainCache(state, address, count * 4096, [.clean, .invalidate])
    address = address_space_uncached(address)
    guard address != 0 else {
      unsafe memory.pointee.pages.release(page..<(page + count))
      // ENOTSUP: this architecture has no uncached view of memory.
      unsafe numbers[0] = 95
      return DMAStatus.machine.rawValue
    }
  }
  unsafe numbers[0] = UInt64(address)
  unsafe numbers[1] = physical
  return DMAStatus.success.rawValue
}

/// Cache maintenance by line, for machines whose devices do not see the cache; `cpu.h` names the
/// instructions.
func maintainCache(
  _ state: UnsafeMutablePointer<MachineState>, _ address: UInt, _ byteCount: Int,
  _ operation: CacheOperation
) {
  let line = unsafe UInt(state.pointee.cacheLineByteCount)
  guard line > 0, byteCount > 0 else { return }
  let end = address + UInt(byteCount)
  var current = address & ~(line - 1)
  while current < end {
    // A line that reaches beyond the buffer may hold a neighbour's bytes: it is never just dropped.
    let isWhole = current >= address && end - current >= line
    if operation == .clean {
      cpu_clean_line(current)
    } else if operation == .invalidate && isWhole {
      cpu_drop_line(current)
    } else {
      cpu_clean_and_drop_line(current)
    }
    current += line
  }
  // Done as devices see it: DSB SY, FENCE IORW, MFENCE.
  DMABarrier.full()
}
