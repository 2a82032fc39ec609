import Glibc

/// Byte strings by number: devices, tasks, stacks and event names of a trace.
///
/// Names are any bytes. Numbers begin at 1; 0 is "none".
@safe
public final class NameTable {
  // SAFETY: owned; every stored range lies within `bytes`, every slot below `slotMask + 1`.
  private var bytes: UnsafeMutablePointer<UInt8>
  private var byteCount = 0
  private var byteCapacity = 4096
  private var starts: [Int] = [0]
  private var slots: UnsafeMutablePointer<UInt32>
  private var slotMask = 255

  init() {
    unsafe bytes = .allocate(capacity: byteCapacity)
    unsafe slots = .allocate(capacity: slotMask + 1)
    unsafe slots.initialize(repeating: 0, count: slotMask + 1)
  }

  deinit {
    unsafe bytes.deallocate()
    unsafe slots.deallocate()
  }

  /// How many names there are; the last one's number.
  public var count: Int { starts.count - 1 }

  /// The name with this number; empty for 0 and for numbers nobody gave out.
  ///
  /// Bytes that are not UTF-8 come out as replacement characters.
  public func name(_ number: UInt32) -> String {
    let number = Int(number)
    guard number >= 1, number <= count else { return "" }
    let start = starts[number - 1]
    return unsafe String(
      decoding: UnsafeBufferPointer(start: bytes + start, count: starts[number] - start),
      as: UTF8.self)
  }

  /// The number of a name, new or known.
  func intern(_ name: UnsafePointer<UInt8>, _ length: Int) -> UInt32 {
    var slot = Int(truncatingIfNeeded: unsafe hash(name, length)) & slotMask
    while true {
      let number = unsafe slots[slot]
      if number == 0 { break }
      let start = starts[Int(number) - 1]
      if starts[Int(number)] - start == length,
        unsafe memcmp(bytes + start, name, length) == 0
      {
        return number
      }
      slot = (slot + 1) & slotMask
    }
    return unsafe add(name, length, slot)
  }

  /// The number of a name.
  func intern(_ name: String) -> UInt32 {
    var name = name
    return name.withUTF8 { utf8 in
      guard let base = utf8.baseAddress else { return 0 }
      return unsafe intern(base, utf8.count)
    }
  }

  private func add(_ name: UnsafePointer<UInt8>, _ length: Int, _ slot: Int) -> UInt32 {
    if byteCount + length > byteCapacity {
      while byteCount + length > byteCapacity { byteCapacity *= 2 }
      let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: byteCapacity)
      unsafe larger.update(from: bytes, count: byteCount)
      unsafe bytes.deallocate()
      unsafe bytes = larger
    }
    unsafe (bytes + byteCount).update(from: name, count: length)
    byteCount += length
    starts.append(byteCount)
    let number = UInt32(count)
    unsafe slots[slot] = number
    if count * 2 > slotMask { rehash() }
    return number
  }

  private func rehash() {
    unsafe slots.deallocate()
    slotMask = slotMask * 2 + 1
    unsafe slots = .allocate(capacity: slotMask + 1)
    unsafe slots.initialize(repeating: 0, count: slotMask + 1)
    for number in 1...count {
      let start = starts[number - 1]
      var slot =
        Int(truncatingIfNeeded: unsafe hash(bytes + start, starts[number] - start)) & slotMask
      while unsafe slots[slot] != 0 { slot = (slot + 1) & slotMask }
      unsafe slots[slot] = UInt32(number)
    }
  }

  private func hash(_ name: UnsafePointer<UInt8>, _ length: Int) -> UInt64 {
    var value: UInt64 = 0xcbf2_9ce4_8422_2325
    for index in 0..<length {
      value = (value ^ UInt64(unsafe name[index])) &* 0x100_0000_01b3
    }
    return value ^ (value >> 32)
  }
}
