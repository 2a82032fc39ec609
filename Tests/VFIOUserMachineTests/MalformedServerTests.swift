import CVFIOUserHost
import DMA
import DMAMapping
import Glibc
import PCI
import TestSupport
import Testing
import VFIOUserMachine

/// What a server can do wrong with a reply.
enum Defect: String, CaseIterable, Sendable, CustomTestStringConvertible {
  case shortHeader = "half a header, then nothing"
  case shortPayload = "half a payload, then nothing"
  case closedBefore = "the connection closed instead"
  case closedInHeader = "closed in the middle of the header"
  case closedInPayload = "closed in the middle of the payload"
  case sizeTooSmall = "a size smaller than the header"
  case sizeTooLarge = "a size of 4 GiB"
  case sizeSmaller = "a payload that lacks its end"
  case wrongID = "another message's id"
  case wrongCommand = "another command"
  case wrongType = "neither command nor reply"
  case silence = "no answer"
  case descriptors = "too many descriptors"
  case refusal = "an error"

  var testDescription: String { rawValue }

  /// Spoils a reply.
  func apply(_ reply: inout EduServer.Reply) {
    switch self {
    case .shortHeader: reply.sentByteCount = 7
    case .shortPayload: reply.sentByteCount = reply.bytes.count - 1
    case .closedBefore: (reply.sentByteCount, reply.closes) = (0, true)
    case .closedInHeader: (reply.sentByteCount, reply.closes) = (9, true)
    case .closedInPayload: (reply.sentByteCount, reply.closes) = (reply.bytes.count - 1, true)
    case .sizeTooSmall: put(8, 4, at: 4, &reply)
    case .sizeTooLarge: put(0xffff_ffff, 4, at: 4, &reply)
    case .sizeSmaller:
      reply.bytes = [UInt8](reply.bytes.dropLast(3))
      put(UInt64(reply.bytes.count), 4, at: 4, &reply)
    case .wrongID: put(Wire.number(reply.bytes, 0, 2) ^ 0x5a5a, 2, at: 0, &reply)
    case .wrongCommand: put(Wire.number(reply.bytes, 2, 2) + 1, 2, at: 2, &reply)
    case .wrongType: put(3, 4, at: 8, &reply)
    case .silence: reply.sentByteCount = 0
    case .descriptors: reply.descriptors = [Int32](repeating: 2, count: 100)
    case .refusal:
      reply.bytes = [UInt8](reply.bytes.prefix(16))
      put(16, 4, at: 4, &reply)
      put(0x21, 4, at: 8, &reply)
      put(5, 4, at: 12, &reply)
      reply.descriptors = []
    }
  }

  private func put(_ value: UInt64, _ count: Int, at offset: Int, _ reply: inout EduServer.Reply) {
    reply.bytes.replaceSubrange(offset..<offset + count, with: Wire.bytes(value, count))
  }

  /// The error it must come to.
  ///
  /// - Parameter time: how many milliseconds the server had.
  func matches(_ error: VFIOUserError, _ command: VFIOUserCommand, _ time: Int) -> Bool {
    switch (self, error) {
    case (.shortHeader, .noReply(command, time)), (.shortPayload, .noReply(command, time)),
      (.silence, .noReply(command, time)):
      true
    case (.closedBefore, .closed), (.closedInHeader, .closed), (.closedInPayload, .closed): true
    case (.sizeTooSmall, .protocolViolation(command, .messageSize(8, _))): true
    case (.sizeTooLarge, .protocolViolation(command, .messageSize(0xffff_ffff, _))): true
    case (.sizeSmaller, .protocolViolation(command, .payloadSize)),
      (.sizeSmaller, .protocolViolation(command, .messageSize)),
      (.sizeSmaller, .malformedCapabilities):
      true
    case (.wrongID, .protocolViolation(command, .messageID)): true
    case (.wrongCommand, .protocolViolation(command, .command)): true
    case (.wrongType, .protocolViolation(command, .messageType(3))): true
    case (.descriptors, .protocolViolation(command, .descriptorCount(100, limit: 16))): true
    case (.refusal, .refused(command, code: 5)): true
    default: false
    }
  }
}

extension VFIOUserMachineTests {
  /// Servers that do not follow the specification: every one of them comes to a typed error, in less
  /// than a second.
  @Suite(.serialized)
  struct MalformedServerTests {
    private static func openFileCount() -> Int {
      guard let folder = unsafe opendir("/proc/self/fd") else { return -1 }
      defer { unsafe closedir(folder) }
      var count = 0
      while unsafe readdir(folder) != nil { count += 1 }
      return count
    }

    /// The commands with which a machine begins, each of which is spoiled in turn.
    static let beginnings: [VFIOUserCommand] = [
      .version, .deviceInfo, .regionInfo, .irqInfo, .regionRead, .dmaMap,
    ]

    @Test(arguments: beginnings, Defect.allCases)
    func `a defect at the beginning is a typed error within a second`(
      _ command: VFIOUserCommand, _ defect: Defect
    ) throws {
      // A DMA_MAP's reply has no payload that could be cut.
      if command == .dmaMap && (defect == .shortPayload || defect == .sizeSmaller) { return }
      // Once with the time that servers have by default.
      let time = command == .version ? 800 : 100
      let box = EduServer.RecordBox()
      var options = EduServer.Options()
      options.tamper = { given, reply in
        if given == command.rawValue { defect.apply(&reply) }
      }
      let clock = ContinuousClock()
      let begin = clock.now
      let listener = try Listener { [options] socket in
        EduServer(socket, options, box).run()
        socket.drain(milliseconds: 2000)
      }
      var configuration = VFIOUserMachine.Configuration(path: listener.path)
      configuration.replyTimeoutMilliseconds = time
      do throws(VFIOUserError) {
        _ = try VFIOUserMachine(configuration)
        Issue.record("the machine was made")
      } catch {
        #expect(defect.matches(error, command, time), "\(error)")
        #expect(!error.description.isEmpty)
      }
      #expect(clock.now - begin < .seconds(1))
      listener.join()
    }

    /// In a process of its own: other tests open files meanwhile.
    @Test func `after every defect what came with messages is closed`() async {
      await #expect(processExitsWith: .success) {
        for command in [VFIOUserCommand.version, .regionInfo, .irqInfo, .dmaMap] {
          for defect in Defect.allCases {
            if command == .dmaMap && (defect == .shortPayload || defect == .sizeSmaller) {
              continue
            }
            let before = MalformedServerTests.openFileCount()
            var options = EduServer.Options()
            options.tamper = { given, reply in
              if given == command.rawValue { defect.apply(&reply) }
            }
            let listener = try Listener { [options] socket in
              EduServer(socket, options, EduServer.RecordBox()).run()
              socket.drain(milliseconds: 200)
            }
            var configuration = VFIOUserMachine.Configuration(path: listener.path)
            configuration.replyTimeoutMilliseconds = 30
            #expect(throws: VFIOUserError.self) { _ = try VFIOUserMachine(configuration) }
            listener.join()
            // The listener's own socket may go a moment later.
            #expect(MalformedServerTests.openFileCount() <= before + 1, "\(command) \(defect)")
          }
        }
      }
    }

    /// Commands that have nowhere to throw: the machine says why nothing works.
    @Test(arguments: Defect.allCases)
    func `a defect of a register's reply ends the machine, and reads are all ones`(
      _ defect: Defect
    ) throws {
      var options = EduServer.Options()
      // Only the reply about BAR 0's identification; its offset comes first.
      options.tamper = { command, reply in
        guard command == 9, reply.bytes.count == 36, Wire.number(reply.bytes, 16, 8) == 0,
          Wire.number(reply.bytes, 24, 4) == 0
        else { return }
        defect.apply(&reply)
      }
      let served = try ServedEdu(options) { $0.replyTimeoutMilliseconds = 100 }
      let device = try served.device()
      let registers = try device.mapBAR(0)
      let clock = ContinuousClock()
      let begin = clock.now
      #expect(registers.read(UInt32.self, at: 0) == .max)
      #expect(clock.now - begin < .seconds(1))
      if defect == .refusal {
        #expect(served.machine.failure == nil)
        #expect(served.machine.lastRefusal == .refused(.regionRead, code: 5))
        #expect(registers.read(UInt32.self, at: 0x80) == 0)
      } else {
        let failure = try #require(served.machine.failure)
        #expect(defect.matches(failure, .regionRead, 100), "\(failure)")
        #expect(registers.read(UInt32.self, at: 0x80) == .max)
      }
      _ = served.finish()
    }

    @Test(
      arguments: [
        // Region 0 says that it is region 1.
        (VFIOUserCommand.regionInfo, 24, 4, 1 as UInt64),
        // More bytes than fit any address space.
        (.regionInfo, 32, 8, .max),
        // The whole answer would be larger than any, or smaller than its own head.
        (.regionInfo, 16, 4, 0x4000_0000), (.regionInfo, 16, 4, 8),
        // Too few regions.
        (.deviceInfo, 24, 4, 3),
        // Another type of interrupts, and more of them than there can be.
        (.irqInfo, 24, 4, 4), (.irqInfo, 28, 4, 0xffff_ffff),
        // Another place, another region, fewer bytes.
        (.regionRead, 16, 8, 0x77), (.regionRead, 24, 4, 3), (.regionRead, 28, 4, 0),
      ] as [(VFIOUserCommand, Int, Int, UInt64)])
    func `a field that lies is a typed error`(
      _ command: VFIOUserCommand, _ offset: Int, _ count: Int, _ value: UInt64
    ) throws {
      var options = EduServer.Options()
      options.tamper = { given, reply in
        guard given == command.rawValue else { return }
        reply.bytes.replaceSubrange(offset..<offset + count, with: Wire.bytes(value, count))
      }
      let error = Self.failure(options)
      guard case .protocolViolation(command, .field)? = error else {
        Issue.record("\(String(describing: error))")
        return
      }
    }

    @Test func `a device that is not PCI is refused`() {
      var options = EduServer.Options()
      options.tamper = { command, reply in
        if command == 4 { reply.bytes.replaceSubrange(20..<24, with: Wire.bytes(1, 4)) }
      }
      #expect(Self.failure(options) == .notPCI)
    }

    @Test(
      arguments: [
        // The list of a region's capabilities is a loop, lies outside, or is cut off.
        (12, 4, 16 as UInt64), (12, 4, 0x10000), (12, 4, 32 + 530),
        // Areas outside of their region, and more than there are bytes for.
        (32 + 512 + 16, 8, 0x3001), (32 + 512 + 24, 8, .max), (32 + 512 + 8, 4, 0xffff_ffff),
      ] as [(Int, Int, UInt64)])
    func `capabilities of a region that lie are a typed error`(
      _ offset: Int, _ count: Int, _ value: UInt64
    ) throws {
      var options = EduServer.Options()
      options.tamper = { command, reply in
        guard command == 5, reply.bytes.count > 300 else { return }
        reply.bytes.replaceSubrange(
          16 + offset..<16 + offset + count, with: Wire.bytes(value, count))
      }
      guard case .protocolViolation(.regionInfo, .field)? = Self.failure(options) else {
        Issue.record("\(String(describing: Self.failure(options)))")
        return
      }
    }

    @Test func `a list of capabilities that runs in a circle is a typed error`() {
      var options = EduServer.Options()
      options.tamper = { command, reply in
        guard command == 5, reply.bytes.count > 300 else { return }
        // The first one's successor is itself.
        reply.bytes.replaceSubrange(16 + 36..<16 + 40, with: Wire.bytes(32, 4))
      }
      #expect(
        Self.failure(options) == .protocolViolation(.regionInfo, .field("cap_offset", 32)))
    }

    @Test func `a shared page that is shorter than the server says is not touched`() throws {
      var options = EduServer.Options()
      options.tamper = { command, reply in
        guard command == 5, reply.descriptors.count == 1 else { return }
        // The page lies behind the end of what the descriptor stands for.
        reply.bytes.replaceSubrange(16 + 24..<16 + 32, with: Wire.bytes(0x1_0000, 8))
      }
      let served = try ServedEdu(options)
      #expect(!served.machine.isMapped(bar: 2, offset: 0x1000))
      let window = try served.device().mapBAR(2)
      window.write(7 as UInt32, at: 0x1000)
      #expect(window.read(UInt32.self, at: 0x1000) == 7)
      _ = served.finish()
    }

    @Test(arguments: [
      "[]", "17", "{", #"{"capabilities":7}"#, #"{"capabilities":{"max_msg_fds":-1}}"#,
      #"{"capabilities":{"max_data_xfer_size":0}}"#, #"{"capabilities":{"pgsizes":"4k"}}"#,
      #"{"capabilities":{"max_dma_maps":1e9}}"#, #"{"capabilities":{}} x"#,
      String(repeating: "[", count: 30_000),
    ])
    func `capabilities that are none are a typed error`(_ text: String) {
      var options = EduServer.Options()
      options.capabilities = text
      guard case .malformedCapabilities? = Self.failure(options) else {
        Issue.record("\(String(describing: Self.failure(options)))")
        return
      }
    }

    @Test func `another version, and pages that memory cannot be cut into, are typed errors`() {
      var options = EduServer.Options()
      options.minor = 2
      #expect(Self.failure(options) == .incompatibleVersion(major: 0, minor: 2))
      options.minor = 0
      options.tamper = { command, reply in
        if command == 1 { reply.bytes.replaceSubrange(16..<18, with: [9, 0]) }
      }
      #expect(Self.failure(options) == .incompatibleVersion(major: 9, minor: 0))
      options = EduServer.Options()
      options.capabilities = #"{"capabilities":{"pgsizes":1073741824}}"#
      #expect(Self.failure(options) == .unsupportedPageSizes(1 << 30))
    }

    @Test func `a server that only ever asks is a typed error`() throws {
      let listener = try Listener { socket in
        while true {
          let command = Wire.header(id: 1, command: 11, size: 32, flags: 0)
          guard (try? socket.send(command + Wire.bytes(0, 8) + Wire.bytes(0, 8))) != nil else {
            return
          }
          // The client's own command comes first, then its answers.
          _ = try? socket.receive()
        }
      }
      var configuration = VFIOUserMachine.Configuration(path: listener.path)
      configuration.replyTimeoutMilliseconds = 50
      #expect(throws: VFIOUserError.protocolViolation(.version, .neverEndingCommands)) {
        _ = try VFIOUserMachine(configuration)
      }
      listener.join()
    }

    @Test func `commands of the server that are no accesses are refused, broken ones end it`()
      throws
    {
      // A reply to VERSION, in front of which the server asks for something.
      func failure(_ command: [UInt8]) throws -> VFIOUserError? {
        let listener = try Listener { socket in
          guard let request = try? socket.receive() else { return }
          try? socket.send(command)
          guard let answer = try? socket.receive() else { return }
          // ENOTSUP, and its id.
          guard answer.header.error == 95, answer.header.id == 0x1234, answer.header.size == 16
          else { return }
          try? socket.send(
            Wire.header(id: request.header.id, command: 1, size: 20, flags: 1) + [7, 0, 0, 0])
          socket.drain(milliseconds: 1000)
        }
        defer { listener.join() }
        do throws(VFIOUserError) {
          _ = try VFIOUserMachine(VFIOUserMachine.Configuration(path: listener.path))
          return nil
        } catch { return error }
      }
      let unknown = Wire.header(id: 0x1234, command: 99, size: 20, flags: 0) + [1, 2, 3, 4]
      #expect(try failure(unknown) == .incompatibleVersion(major: 7, minor: 0))
      let short = Wire.header(id: 0x1234, command: 11, size: 20, flags: 0) + [1, 2, 3, 4]
      #expect(
        try failure(short) == .protocolViolation(.dmaRead, .payloadSize(4, expected: 16)))
      let lying =
        Wire.header(id: 0x1234, command: 12, size: 36, flags: 0) + Wire.bytes(0, 8)
        + Wire.bytes(400, 8) + [1, 2, 3, 4]
      #expect(
        try failure(lying) == .protocolViolation(.dmaWrite, .payloadSize(20, expected: 416)))
    }

    @Test func `where nobody listens, or nothing can, is a typed error at once`() throws {
      func failure(_ path: String) -> VFIOUserError? {
        do throws(VFIOUserError) {
          _ = try VFIOUserMachine(VFIOUserMachine.Configuration(path: path))
          return nil
        } catch { return error }
      }
      #expect(
        failure("/nonexistent/socket") == .cannotConnect(path: "/nonexistent/socket", code: 2))
      #expect(failure("") == .cannotConnect(path: "", code: 22))
      let long = "/" + String(repeating: "x", count: 200)
      #expect(failure(long) == .cannotConnect(path: long, code: 36))
      var configuration = VFIOUserMachine.Configuration(path: "/x")
      configuration.memoryByteCount = 33 << 20
      #expect(throws: VFIOUserError.self) { _ = try VFIOUserMachine(configuration) }
    }

    private static func failure(_ options: EduServer.Options) -> VFIOUserError? {
      do throws(VFIOUserError) {
        let box = EduServer.RecordBox()
        guard
          let listener = try? Listener({ socket in
            EduServer(socket, options, box).run()
            socket.drain(milliseconds: 500)
          })
        else { return nil }
        defer { listener.join() }
        _ = try VFIOUserMachine(VFIOUserMachine.Configuration(path: listener.path))
        return nil
      } catch { return error }
    }
  }
}
