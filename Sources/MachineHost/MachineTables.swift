package import DMA
package import PCI

/// The tables of C functions through which the core and PCI reach a `MachineHost`.
///
/// Whoever holds a platform or PCI made here holds this object, and it the host.
@safe
package final class MachineTables: @unchecked Sendable {
  // SAFETY (Sendable): nothing changes here, and hosts' functions may be called from any thread.
  private let host: any MachineHost
  private let attaching: (any InterruptAttaching)?
  private let pinning: (any MemoryPinning)?

  package init(_ host: any MachineHost) {
    self.host = host
    attaching = nil
    pinning = nil
  }

  /// For a machine whose interrupts a kernel attaches.
  package init(attaching host: any InterruptAttaching) {
    self.host = host
    attaching = host
    pinning = nil
  }

  /// For a machine whose interrupts a kernel attaches, and that pins memory from elsewhere.
  package init(attaching host: any InterruptAttaching & MemoryPinning) {
    self.host = host
    attaching = host
    pinning = host
  }

  /// What the functions are told.
  ///
  /// Valid as long as this object.
  package var context: UnsafeMutableRawPointer {
    unsafe Unmanaged.passUnretained(self).toOpaque()
  }

  private static func host(_ context: UnsafeMutableRawPointer) -> any MachineHost {
    unsafe tables(context).host
  }

  private static func tables(_ context: UnsafeMutableRawPointer) -> MachineTables {
    // SAFETY: only `context` is ever passed, by a table's owner, who holds the object.
    unsafe Unmanaged<MachineTables>.fromOpaque(context).takeUnretainedValue()
  }

  /// The machine as the core sees it; always coherent.
  ///
  /// - Parameters:
  ///   - lowestLimit: no memory is found below this limit.
  ///   - highestAddress: the last byte of memory.
  package func makePlatform(lowestLimit: UInt64, highestAddress: UInt64) -> Platform {
    var operations = Self.platformOperations
    if pinning != nil {
      unsafe operations.pin = { context, cpuAddress, byteCount, numbers in
        unsafe answer(numbers) { result in
          unsafe MachineTables.tables(context).pinning?.pin(cpuAddress, byteCount, &result)
            ?? .notDMAable
        }
      }
      unsafe operations.unpin = { context, _, physicalAddress, _ in
        unsafe MachineTables.tables(context).pinning?.unpin(physicalAddress)
      }
    }
    return unsafe Platform(
      operations: operations, context: context, owner: self, lowestLimit: lowestLimit,
      highestAddress: highestAddress, isCoherent: true)
  }

  private static var platformOperations: PlatformOperations {
    unsafe PlatformOperations(
      allocatePages: { context, byteCount, alignment, limit, options, numbers in
        unsafe answer(numbers) { result in
          unsafe MachineTables.host(context).allocatePages(
            byteCount, alignment: alignment, limit: limit,
            options: PageOptions(rawValue: options), &result)
        }
      },
      freePages: { context, _, physicalAddress, byteCount, _ in
        unsafe MachineTables.host(context).freePages(physicalAddress, byteCount)
      },
      resolve: { context, cpuAddress, byteCount, numbers in
        unsafe answer(numbers) { result in
          unsafe MachineTables.host(context).resolve(cpuAddress, byteCount, &result)
        }
      },
      // Never called: the machine is coherent.
      maintainCache: { _, _, _, _ in },
      now: { context in unsafe MachineTables.host(context).nanoseconds },
      relax: { context in unsafe MachineTables.host(context).relax() },
      relaxAfter: { context, waited in
        unsafe MachineTables.host(context).relax(after: waited)
      },
      isTimeReal: true)
  }

  /// The machine's PCI.
  package func makePCI(_ platform: Platform) -> PCIHost {
    var operations = Self.pciOperations
    if attaching != nil {
      unsafe operations.attachInterrupt = { context, address, kind, index, numbers in
        unsafe answer(numbers) { result in
          unsafe MachineTables.tables(context).attaching?.attachInterrupt(
            address, kind, index, &result) ?? .deviceRemoved
        }
      }
    }
    return unsafe PCIHost(
      platform: platform, operations: operations, context: context, owner: self)
  }

  private static var pciOperations: PCIOperations {
    unsafe PCIOperations(
      readConfiguration: { context, address, offset, byteCount in
        unsafe MachineTables.host(context).readConfiguration(address, offset, byteCount)
      },
      writeConfiguration: { context, address, offset, byteCount, value in
        unsafe MachineTables.host(context).writeConfiguration(address, offset, byteCount, value)
      },
      mapBAR: { context, address, index, start, byteCount, numbers in
        unsafe answer(numbers) { result in
          unsafe MachineTables.host(context).mapBAR(
            address, index, start: start, byteCount, &result)
        }
      },
      allocateMessage: { context, address, index, numbers in
        unsafe answer(numbers) { result in
          unsafe MachineTables.host(context).allocateMessage(address, index, &result)
        }
      },
      freeMessage: { context, handle in unsafe MachineTables.host(context).freeMessage(handle) },
      takeInterrupt: { context, handle in
        unsafe MachineTables.host(context).takeInterrupt(handle) ? 1 : 0
      },
      registers: registerOperations)
  }

  /// How registers are reached that are not memory of this process.
  package static var registerOperations: RegisterOperations {
    unsafe RegisterOperations(
      read: { context, window, offset, byteCount in
        unsafe MachineTables.host(context).readRegister(window, offset, byteCount)
      },
      write: { context, window, offset, byteCount, value in
        unsafe MachineTables.host(context).writeRegister(window, offset, byteCount, value)
      })
  }
}

/// Lets `body` fill in numbers and writes them where a table's caller wants them.
private func answer(
  _ destination: UnsafeMutablePointer<UInt64>, _ body: (inout DMAStatusNumbers) -> DMAStatus
) -> Int32 {
  var numbers = DMAStatusNumbers()
  let status = body(&numbers)
  // SAFETY: the tables' contract: room for three words.
  unsafe destination[0] = numbers.first
  unsafe destination[1] = numbers.second
  unsafe destination[2] = numbers.third
  return status.rawValue
}
