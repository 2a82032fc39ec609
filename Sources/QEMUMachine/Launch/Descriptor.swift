internal import CQEMUHost

/// A file descriptor that is closed when its owner goes.
struct Descriptor: ~Copyable {
  let number: Int32

  init(_ number: Int32) { self.number = number }

  deinit { qemu_host_close(number) }

  /// An anonymous memory object that holds these bytes.
  ///
  /// - Throws: `QEMUError.host`.
  static func memory(_ name: String, _ bytes: [UInt8]) throws(QEMUError) -> Descriptor {
    let number = unsafe qemu_host_memory_create(name, UInt64(bytes.count))
    guard number >= 0 else { throw .host(call: "memfd_create", code: -Int(number)) }
    let object = Descriptor(number)
    // SAFETY: writes the array's own bytes. Memory objects take them all at once.
    let written = unsafe bytes.withUnsafeBytes {
      unsafe qemu_host_write_at(number, $0.baseAddress, $0.count, 0)
    }
    guard written == bytes.count else {
      // EIO: less than all.
      throw .host(call: "pwrite", code: written < 0 ? -Int(written) : 5)
    }
    return object
  }
}

/// Two connected sockets: one for this process, which never blocks on it, and one for QEMU.
struct SocketPair: ~Copyable {
  let ours: Descriptor
  let theirs: Descriptor

  /// - Throws: `QEMUError.host`.
  init() throws(QEMUError) {
    var pair: (Int32, Int32) = (-1, -1)
    let status = unsafe qemu_host_socket_pair(&pair.0, &pair.1)
    guard status == 0 else { throw .host(call: "socketpair", code: -Int(status)) }
    ours = Descriptor(pair.0)
    theirs = Descriptor(pair.1)
  }

  /// Parts with this process's end, and closes the other, which QEMU has inherited.
  consuming func takeOurs() -> Descriptor { ours }
}
