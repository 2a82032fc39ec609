package import DMA
package import Drivers
internal import PCI

/// Asks a network for an address, finds its gateway and pings it, over an `E1000`.
///
/// Not an IP stack: it knows one conversation at a time and answers nobody but who asks for its
/// Ethernet address.
package final class NetworkProbe {
  /// What the network gave.
  package struct Lease: Equatable, Sendable {
    package var address: IPv4Address
    package var server: IPv4Address
    package var router: IPv4Address
    package var subnetMask: IPv4Address
    package var seconds: UInt32
  }

  /// What became of pings.
  package struct PingResult: Equatable, Sendable {
    package var sent = 0
    package var received = 0
    /// Answers that carried other bytes than were sent.
    package var damaged = 0
    /// Nanoseconds of the machine's clock from sending to the answer.
    package var shortest: UInt64 = .max
    package var longest: UInt64 = 0
    package var total: UInt64 = 0

    package var lost: Int { sent - received }
  }

  package enum Failure: Error, CustomStringConvertible {
    /// Nobody answered.
    case noAnswer(to: String, milliseconds: Int)
    /// The server took its offer back.
    case refused(by: IPv4Address)
    case card(E1000Error)
    case memory(DMAError)

    package var description: String {
      switch self {
      case .noAnswer(let question, let milliseconds):
        "no answer to \(question) within \(milliseconds) ms"
      case .refused(let server): "\(server) took its offer back"
      case .card(let error): "\(error)"
      case .memory(let error): "\(error)"
      }
    }
  }

  package let card: E1000
  package let hardware: EthernetAddress
  package private(set) var lease: Lease?
  private var transaction: UInt32
  /// A question is asked again after this long: the first frames may be lost while a link comes up.
  static let retryMilliseconds = 500

  package init(_ card: E1000, transaction: UInt32 = 0x5317_d4a1) {
    self.card = card
    hardware = EthernetAddress(rawValue: card.macAddress.rawValue)
    self.transaction = transaction
  }

  // MARK: Frames

  private func send(_ frame: [UInt8]) throws(Failure) {
    card.reap()
    let buffer: StreamingBuffer
    do throws(DMAError) {
      // SAFETY: the array's bytes are initialized and live until the call returns.
      buffer = try StreamingBuffer(
        copying: unsafe frame.span.bytes, in: card.device.dma.platform)
    } catch { throw .memory(error) }
    switch card.send(buffer) {
    case .accepted: break
    case .refused(let buffer, let error):
      _ = consume buffer
      throw .card(error)
    }
  }

  /// The frames that came; those that ask for this address are answered.
  private func frames() throws(Failure) -> [EthernetFrame] {
    var found: [EthernetFrame] = []
    card.receive { frame in
      let bytes: [UInt8]
      switch consume frame {
      case .copy(let copied): bytes = copied
      case .whole(let buffer, let count):
        let span = buffer.bytes
        // SAFETY: the array copies the bytes before the span ends.
        bytes = unsafe span.withUnsafeBytes { unsafe [UInt8]($0.prefix(count)) }
      }
      if let frame = EthernetFrame(bytes) { found.append(frame) }
    }
    card.reap()
    for frame in found where frame.type == EtherType.arp { try answer(frame) }
    return found
  }

  private func answer(_ frame: EthernetFrame) throws(Failure) {
    guard let question = ARPPacket(frame.payload), !question.isReply, let lease,
      question.target == lease.address
    else { return }
    let reply = ARPPacket(
      isReply: true, senderHardware: hardware, sender: lease.address,
      targetHardware: question.senderHardware, target: question.sender)
    try send(
      EthernetFrame(
        to: question.senderHardware, from: hardware, type: EtherType.arp, reply.bytes
      ).bytes)
  }

  /// Sends a question, again and again, until a frame answers it.
  private func ask<Answer>(
    _ question: String, _ frame: [UInt8], milliseconds: Int, retries: Bool = true,
    _ parse: (EthernetFrame) -> Answer?
  ) throws(Failure) -> Answer {
    let platform = card.device.dma.platform
    let begin = platform.nanoseconds
    let limit = UInt64(milliseconds) * 1_000_000
    var nextTry: UInt64 = 0
    while platform.nanoseconds - begin < limit {
      if platform.nanoseconds - begin >= nextTry {
        try send(frame)
        nextTry = retries ? nextTry + UInt64(Self.retryMilliseconds) * 1_000_000 : .max
      }
      for frame in try frames() {
        if let answer = parse(frame) { return answer }
      }
      platform.relax()
    }
    throw .noAnswer(to: question, milliseconds: milliseconds)
  }

  // MARK: Conversations

  /// Asks for an address by DHCP (RFC 2131, 3.1).
  package func requestLease(milliseconds: Int = 8000) throws(Failure) -> Lease {
    transaction &+= 1
    let discover = DHCPMessage(.discover, transaction: transaction, hardware: hardware)
    let offer = try ask("DHCP discover", discover.frame, milliseconds: milliseconds) {
      self.dhcp($0, .offer)
    }
    var request = DHCPMessage(.request, transaction: transaction, hardware: hardware)
    request.requested = offer.yours
    request.server = offer.server
    let reply = try ask("DHCP request", request.frame, milliseconds: milliseconds) {
      self.dhcp($0, .acknowledge) ?? self.dhcp($0, .refuse)
    }
    let server = reply.server ?? offer.server ?? .any
    guard reply.kind == .acknowledge else { throw .refused(by: server) }
    let lease = Lease(
      address: reply.yours, server: server, router: reply.router ?? server,
      subnetMask: reply.subnetMask ?? .any, seconds: reply.leaseSeconds ?? 0)
    self.lease = lease
    return lease
  }

  private func dhcp(_ frame: EthernetFrame, _ kind: DHCPMessage.Kind) -> DHCPMessage? {
    guard frame.type == EtherType.ipv4, let packet = IPv4Packet(frame.payload),
      let message = DHCPMessage(packet), message.kind == kind,
      message.transaction == transaction, message.hardware == hardware
    else { return nil }
    return message
  }

  /// Asks for the Ethernet address of a neighbour; a lease must be there.
  package func resolve(
    _ address: IPv4Address, milliseconds: Int = 3000
  ) throws(Failure) -> EthernetAddress {
    let question = ARPPacket(
      isReply: false, senderHardware: hardware, sender: lease?.address ?? .any,
      targetHardware: EthernetAddress(rawValue: 0), target: address)
    let frame = EthernetFrame(
      to: .broadcast, from: hardware, type: EtherType.arp, question.bytes
    ).bytes
    return try ask("ARP for \(address)", frame, milliseconds: milliseconds) { frame in
      guard frame.type == EtherType.arp, let reply = ARPPacket(frame.payload), reply.isReply,
        reply.sender == address
      else { return nil }
      return reply.senderHardware
    }
  }

  /// Pings a neighbour, one echo after the other; each is sent once.
  package func ping(
    _ address: IPv4Address, at neighbour: EthernetAddress, count: Int, payloadByteCount: Int = 56,
    milliseconds: Int = 1000
  ) throws(Failure) -> PingResult {
    var result = PingResult()
    let source = lease?.address ?? .any
    let identifier = UInt16(truncatingIfNeeded: transaction)
    let platform = card.device.dma.platform
    for sequence in 0..<count {
      let payload = (0..<payloadByteCount).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ sequence) }
      let echo = EchoPacket(
        isReply: false, identifier: identifier, sequence: UInt16(truncatingIfNeeded: sequence),
        payload: payload)
      let packet = IPv4Packet(from: source, to: address, IPProtocol.icmp, echo.bytes)
      let frame = EthernetFrame(
        to: neighbour, from: hardware, type: EtherType.ipv4, packet.bytes
      ).bytes
      result.sent += 1
      let begin = platform.nanoseconds
      let reply: EchoPacket
      do throws(Failure) {
        reply = try ask("ping", frame, milliseconds: milliseconds, retries: false) { frame in
          guard frame.type == EtherType.ipv4, let packet = IPv4Packet(frame.payload),
            packet.protocolNumber == IPProtocol.icmp, packet.source == address,
            let reply = EchoPacket(packet.payload), reply.isReply,
            reply.identifier == identifier, reply.sequence == echo.sequence
          else { return nil }
          return reply
        }
      } catch {
        guard case .noAnswer = error else { throw error }
        continue
      }
      let time = platform.nanoseconds - begin
      result.received += 1
      result.total += time
      result.shortest = min(result.shortest, time)
      result.longest = max(result.longest, time)
      if reply.payload != payload { result.damaged += 1 }
    }
    return result
  }
}
