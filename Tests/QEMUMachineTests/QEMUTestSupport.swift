import DMA
import DMAMapping
import Glibc
import PCI
import QEMUMachine
import Testing

/// Whether tests that need QEMU run: where it is installed, and always in CI, where its absence
/// is a failure.
let hasQEMU: Bool = {
  // SAFETY: getenv's result is only compared with nil.
  if unsafe getenv("CI") != nil { return true }
  let isInstalled = QEMUMachine.isInstalled
  if !isInstalled {
    print("skipped: tests on QEMU: qemu-system-x86_64 is not installed (package qemu-system-x86)")
  }
  return isInstalled
}()

/// Everything here starts processes: one after the other.
@Suite(.serialized)
struct QEMUMachineTests {}

extension Trait where Self == ConditionTrait {
  /// Skips a test where QEMU is missing.
  static var needsQEMU: ConditionTrait {
    .enabled(if: hasQEMU, "qemu-system-x86_64 is not installed (package qemu-system-x86)")
  }
}

/// A machine with one edu device at slot 2 and registers mapped, without a driver.
struct EduBench {
  let machine: QEMUMachine
  let device: PCIDevice
  let registers: RegisterWindow

  init(_ change: (inout QEMUMachine.Configuration) -> Void = { _ in }) throws {
    var configuration = QEMUMachine.Configuration(devices: [.edu()])
    change(&configuration)
    machine = try QEMUMachine(configuration)
    device = try PCIDevice(
      host: machine.pci, address: machine.address(of: 0),
      mapping: DirectMapping.make(for: machine.platform))
    registers = try device.mapBAR(0)
  }

  /// Starts a transfer of the device's and waits for its end.
  func transfer(from source: UInt64, to destination: UInt64, byteCount: Int, command: UInt64) throws
  {
    registers.write(source, at: 0x80)
    registers.write(destination, at: 0x88)
    registers.write(UInt64(byteCount), at: 0x90)
    registers.write(command | 1, at: 0x98)
    try machine.platform.wait(nanoseconds: 5_000_000_000) {
      registers.read(UInt64.self, at: 0x98) & 1 == 0
    }
  }

  /// Memory to the device's buffer at 0x40000.
  func toDevice(_ address: DMAAddress, _ byteCount: Int) throws {
    try transfer(from: address.rawValue, to: 0x40000, byteCount: byteCount, command: 0)
  }

  /// The device's buffer to memory.
  func fromDevice(_ address: DMAAddress, _ byteCount: Int) throws {
    try transfer(from: 0x40000, to: address.rawValue, byteCount: byteCount, command: 2)
  }
}

/// The bytes of a buffer.
func bytes(_ buffer: borrowing StreamingBuffer) -> [UInt8] {
  let span = buffer.bytes
  // SAFETY: offsets run over the span's own bytes.
  return (0..<span.byteCount).map { unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
}

/// Processes whose command line contains a text.
func processes(named text: String) -> [Int32] {
  var found: [Int32] = []
  for entry in folder("/proc") {
    guard let number = Int32(entry), let line = contents("/proc/\(entry)/cmdline") else { continue }
    if line.contains(text) { found.append(number) }
  }
  return found
}

/// The names in a folder.
func folder(_ path: String) -> [String] {
  guard let handle = unsafe opendir(path) else { return [] }
  defer { unsafe closedir(handle) }
  var names: [String] = []
  while let entry = unsafe readdir(handle) {
    // SAFETY: d_name ends with a zero and lives until the next readdir.
    let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
      unsafe String(cString: UnsafeRawPointer(pointer).assumingMemoryBound(to: CChar.self))
    }
    if name != "." && name != ".." { names.append(name) }
  }
  return names
}

/// The text of a small file of /proc.
func contents(_ path: String) -> String? {
  let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { return nil }
  defer { close(descriptor) }
  var bytes = [UInt8](repeating: 0, count: 8192)
  let count = unsafe bytes.withUnsafeMutableBytes {
    unsafe read(descriptor, $0.baseAddress, $0.count)
  }
  guard count >= 0 else { return nil }
  return String(decoding: bytes[..<count], as: UTF8.self)
}

/// Where a symbolic link points.
func target(ofLink path: String) -> String? {
  var bytes = [CChar](repeating: 0, count: 4096)
  let count = unsafe bytes.withUnsafeMutableBufferPointer {
    guard let start = $0.baseAddress else { return -1 }
    return unsafe readlink(path, start, $0.count)
  }
  guard count >= 0 else { return nil }
  return String(decoding: bytes[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// The files, pipes, sockets and memory objects a process has open.
func openFiles(of process: Int32) -> [String] {
  folder("/proc/\(process)/fd").compactMap { target(ofLink: "/proc/\(process)/fd/\($0)") }
}

/// The CPU time this thread has used.
func threadMicroseconds() -> Int {
  var usage = rusage()
  // 1 is RUSAGE_THREAD.
  unsafe getrusage(__rusage_who_t(1), &usage)
  return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1_000_000
    + Int(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
}

/// Milliseconds that a call took.
func milliseconds(_ body: () throws -> Void) rethrows -> Int {
  let clock = ContinuousClock()
  let time = try clock.measure(body)
  return Int(time.components.seconds * 1000 + time.components.attoseconds / 1_000_000_000_000_000)
}

/// A machine that is expected to fail.
func startFailure(_ configuration: QEMUMachine.Configuration) -> QEMUError? {
  do throws(QEMUError) {
    let machine = try QEMUMachine(configuration)
    machine.stop()
    return nil
  } catch {
    return error
  }
}

/// What comes of a shell script in QEMU's place; its descriptor 3 is the protocol's socket.
func impostorFailure(_ script: String, startTimeout: Int = 5000) -> QEMUError? {
  var path = Array("/tmp/qemu-impostor-XXXXXX\0".utf8.map { CChar(bitPattern: $0) })
  let descriptor = unsafe path.withUnsafeMutableBufferPointer { buffer in
    unsafe buffer.baseAddress.map { unsafe mkstemp($0) } ?? -1
  }
  guard descriptor >= 0 else { return nil }
  let name = String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  defer { unsafe unlink(name) }
  let text = Array("#!/bin/sh\n\(script)\n".utf8)
  let written = unsafe text.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
  fchmod(descriptor, 0o700)
  close(descriptor)
  guard written == text.count else { return nil }
  var configuration = QEMUMachine.Configuration()
  configuration.executable = name
  configuration.startTimeoutMilliseconds = startTimeout
  return startFailure(configuration)
}
