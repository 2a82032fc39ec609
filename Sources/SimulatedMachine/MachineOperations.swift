internal import DMA
internal import PCI
internal import MachineMemory

// The C functions through which the core and PCI reach the machine. Every context is a MachineCore
// that the owner of the table keeps alive.

extension MachineCore {
  func makePlatform() -> Platform {
    unsafe Platform(
      operations: Self.platformOperations, context: context, owner: self,
      lowestLimit: memory.map.lowestLimit, highestAddress: memory.map.highestAddress,
      isCoherent: memory.isCoherent)
  }

  private static var platformOperations: PlatformOperations {
    unsafe PlatformOperations(
      allocatePages: { context, byteCount, alignment, limit, options, numbers in
        unsafe withNumbers(numbers) { result in
          let core = unsafe MachineCore.from(context)
          if let faults = core.faults, faults.fails(.pages) {
            result = DMAStatusNumbers(UInt64(byteCount), limit)
            return .outOfMemory
          }
          return core.allocator.allocate(
            byteCount: byteCount, alignment: alignment, limit: limit,
            options: PageOptions(rawValue: options), &result)
        }
      },
      freePages: { context, _, physicalAddress, byteCount, _ in
        unsafe MachineCore.from(context).allocator.free(
          physicalAddress: physicalAddress, byteCount: byteCount)
      },
      resolve: { context, cpuAddress, byteCount, numbers in
        unsafe withNumbers(numbers) { result in
          unsafe MachineCore.from(context).resolve(cpuAddress, byteCount, &result)
        }
      },
      maintainCache: { context, cpuAddress, byteCount, operation in
        unsafe MachineCore.from(context).maintain(
          cpuAddress, byteCount, CacheOperation(rawValue: operation))
      },
      // Without a retain: checkers and waiting loops read it often.
      now: { context in
        unsafe Unmanaged<MachineCore>.fromOpaque(context)._withUnsafeGuaranteedRef {
          $0.clock.now()
        }
      },
      relax: { unsafe MachineCore.from($0).relax() })
  }

  func makePCIHost(_ platform: Platform) -> PCIHost {
    unsafe PCIHost(
      platform: platform, operations: Self.pciOperations, context: context, owner: self)
  }

  private static var pciOperations: PCIOperations {
    unsafe PCIOperations(
      readConfiguration: { context, address, offset, byteCount in
        unsafe MachineCore.from(context).readConfiguration(address, offset, byteCount)
      },
      writeConfiguration: { context, address, offset, byteCount, value in
        unsafe MachineCore.from(context).writeConfiguration(address, offset, byteCount, value)
      },
      mapBAR: { context, _, _, start, _, numbers in
        unsafe withNumbers(numbers) { result in
          let isFailing = unsafe MachineCore.from(context).faults?.fails(.registers) ?? false
          // ENXIO: the registers have no address.
          guard start != 0, !isFailing else {
            result = DMAStatusNumbers(6)
            return .machine
          }
          // The window is the bus address: each access is decoded, as on a bus.
          result = DMAStatusNumbers(0, start)
          return .success
        }
      },
      allocateMessage: { context, _, _, numbers in
        unsafe withNumbers(numbers) { result in
          let core = unsafe MachineCore.from(context)
          let isFailing = core.faults?.fails(.interruptVector) ?? false
          guard !isFailing, let handle = core.interrupts.allocate() else {
            // ENOSPC: all vectors are taken.
            result = DMAStatusNumbers(28)
            return .machine
          }
          let message = InterruptController.message(handle)
          result = DMAStatusNumbers(message.address, message.data, handle)
          return .success
        }
      },
      freeMessage: { unsafe MachineCore.from($0).interrupts.free($1) },
      takeInterrupt: { unsafe MachineCore.from($0).interrupts.take($1) ? 1 : 0 },
      registers: registerOperations)
  }

  /// Windows are bus addresses.
  fileprivate static var registerOperations: RegisterOperations {
    unsafe RegisterOperations(
      read: { context, window, offset, byteCount in
        unsafe MachineCore.from(context).readRegister(window + UInt64(offset), byteCount)
      },
      write: { context, window, offset, byteCount, value in
        unsafe MachineCore.from(context).writeRegister(
          window + UInt64(offset), byteCount, value)
      })
  }

  /// The IOMMU's registers.
  var iommuWindow: RegisterWindow {
    unsafe RegisterWindow(
      operations: windowOperations, context: context, window: VTDRegister.windowAddress,
      byteCount: VTDRegister.windowByteCount)
  }
}

// Made once and never freed: windows point to it. An immutable table of functions.
nonisolated(unsafe) private let windowOperations: UnsafePointer<RegisterOperations> = {
  let table = UnsafeMutablePointer<RegisterOperations>.allocate(capacity: 1)
  // SAFETY: freshly allocated for one table.
  unsafe table.initialize(to: MachineCore.registerOperations)
  return unsafe UnsafePointer(table)
}()

/// Lets `body` fill in numbers and writes them where a C caller wants them.
private func withNumbers(
  _ destination: UnsafeMutablePointer<UInt64>,
  _ body: (inout DMAStatusNumbers) -> DMAStatus
) -> Int32 {
  var numbers = DMAStatusNumbers()
  let status = body(&numbers)
  // SAFETY: the table's contract: room for three words.
  unsafe destination[0] = numbers.first
  unsafe destination[1] = numbers.second
  unsafe destination[2] = numbers.third
  return status.rawValue
}
