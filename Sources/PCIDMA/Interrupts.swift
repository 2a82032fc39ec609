internal import CPCIDMA
internal import DMA
internal import PCI

/// The handlers of a device's interrupt, and how it signals.
@safe
struct InterruptLine {
  /// What C drivers pass: number, their own pointer, registers (always null).
  typealias Handler =
    @convention(c) (Int32, UnsafeMutableRawPointer?, UnsafeMutableRawPointer?) -> Void

  @safe
  struct Registration {
    var handler: Handler
    var device: UnsafeMutableRawPointer?
    var isShared: Bool
  }

  var registrations: [Registration] = []
  /// Nil while nobody asked, or where the device has a wire only.
  var message: PCIInterrupt?
  var isWire = false
  /// How often it was disabled.
  var disableCount = 0
}

/// `SA_SHIRQ`.
private let sharedFlag: UInt = 0x0400_0000

extension DeviceBox {
  /// The first interrupt number: below are those of a PC's own devices.
  static var firstInterrupt: UInt32 { 32 }

  fileprivate static func find(_ irq: UInt32) -> DeviceBox? {
    Registry.shared.with { books in
      books.devices.first { unsafe $0.slot?.pointee.dev.irq == irq }
    }
  }

  fileprivate func add(_ registration: InterruptLine.Registration) -> Int32 {
    guard let pci else { return fail(Errno.invalid) }
    let isFirst: Bool? = lock.withLock {
      let others = interrupt.registrations
      guard others.allSatisfy({ $0.isShared && registration.isShared }) else { return nil }
      return others.isEmpty
    }
    guard let isFirst else { return fail(Errno.busy) }
    if isFirst, interrupt.message == nil, !interrupt.isWire { turnOn(pci) }
    lock.withLock { interrupt.registrations.append(registration) }
    return 0
  }

  /// Messages where the device has them, else its wire.
  private func turnOn(_ pci: PCIDevice) {
    do throws(PCIError) {
      interrupt.message = try pci.enableMSI()
    } catch {
      do throws(PCIError) {
        interrupt.message = try pci.enableMSIX(vector: 0)
      } catch { interrupt.isWire = true }
    }
  }

  fileprivate func remove(_ owner: UnsafeMutableRawPointer?) -> Bool {
    lock.withLock {
      guard let index = interrupt.registrations.firstIndex(where: { unsafe $0.device == owner })
      else {
        return false
      }
      interrupt.registrations.remove(at: index)
      return true
    }
  }

  /// Runs the handlers if the device has signalled.
  func deliverInterrupt() {
    let line = lock.withLock { interrupt }
    guard !line.registrations.isEmpty, line.disableCount == 0, let pci, let slot = unsafe slot
    else { return }
    let isDue: Bool
    if let message = line.message {
      isDue = message.deliver()
    } else {
      // Bit 3 of status: the wire is asserted (PCI 3.0, 6.2.3).
      isDue = pci.readConfiguration(UInt16.self, at: PCIRegister.status) & 8 != 0
    }
    guard isDue else { return }
    let irq = unsafe Int32(bitPattern: slot.pointee.dev.irq)
    for registration in line.registrations {
      unsafe swiftdma_call_interrupt(registration.handler, irq, registration.device)
    }
  }
}

@c @implementation
public func swiftdma_request_irq(
  _ irq: UInt32,
  _ handler: (
    @convention(c) (Int32, UnsafeMutableRawPointer?, UnsafeMutableRawPointer?) -> Void
  )?, _ flags: UInt, _ device: UnsafeMutableRawPointer?
) -> Int32 {
  guard let handler = unsafe handler, let box = DeviceBox.find(irq) else {
    return fail(Errno.invalid)
  }
  return unsafe box.add(
    InterruptLine.Registration(
      handler: handler, device: device, isShared: flags & sharedFlag != 0))
}

@c @implementation
public func swiftdma_free_irq(_ irq: UInt32, _ device: UnsafeMutableRawPointer?) {
  if let box = DeviceBox.find(irq), unsafe box.remove(device) { return }
  fail(Errno.invalid)
  unsafe Registry.shared.current?.report(
    "invalid-argument", "-", CallSite(file: nil, fileByteCount: 0, line: 0),
    "free_irq was given interrupt \(irq) with a device that did not request it")
}

@c @implementation
public func swiftdma_set_irq_enabled(_ irq: UInt32, _ isEnabled: Int32) {
  guard let box = DeviceBox.find(irq) else {
    fail(Errno.invalid)
    return
  }
  box.lock.withLock {
    let count = box.interrupt.disableCount
    box.interrupt.disableCount = isEnabled != 0 ? max(0, count - 1) : count + 1
  }
}
