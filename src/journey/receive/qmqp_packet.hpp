// receive/qmqp_packet.hpp: what a QMQP client sends, as it comes.                                       https://cr.yp.to/proto/qmqp.html
// Shape    "LENGTH:" content sender recipient... ","; each of those a netstring ("3:abc,"). The length of the whole is read and, as in Postfix, not held
//          against what is inside: the comma behind the last recipient ends the packet. What follows it is left where it is.
// Errors   Fault, with part() for where: no netstring, or one that is longer than it may be. Then nothing more is read.
// Memory   all of it: the addresses that the Received: field and the checks want come behind the content. held() says how much.
// Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::receive {

class QmqpPacket {
public:
    struct Limits {
        std::uint64_t content = 0;  // 0: none
        std::size_t address = 2048;
    };
    enum class Part : std::uint8_t { header, content, sender, recipient };
    enum class Fault : std::uint8_t { format, size };

    explicit QmqpPacket(Limits limits) : limits_(limits) {}

    /// Reads from the front of `octets` and removes what it has read. True: the packet is whole.
    std::expected<bool, Fault> feed(std::string_view& octets);
    /// What is being read.
    Part part() const { return part_; }
    std::size_t held() const;

    /// As they came; line ends are LF.
    const std::string& content() const { return content_; }
    const std::string& sender() const { return sender_; }
    const std::vector<std::string>& recipients() const { return recipients_; }

private:
    enum class Inside : std::uint8_t { length, octets, comma };
    std::expected<void, Fault> begin();
    std::string& target();

    Limits limits_;
    Part part_ = Part::header;
    Inside inside_ = Inside::length;
    bool digits_ = false;  // some of this length were read
    std::uint64_t length_ = 0;  // of the netstring in hand: as far as it was read, then what is missing of it
    std::string content_, sender_;
    std::vector<std::string> recipients_;
    std::size_t recipient_octets_ = 0;
};

/// In the words of Postfix's log and answers: "message content".
std::string_view to_text(QmqpPacket::Part part);

/// An envelope sender with the mark of variable return paths, `prefix-@origin-@[]`: `sender` is prefix@origin then, and the character behind the prefix
/// the first of the delimiters. Empty: there is no such mark.
struct QmqpReturnPath {
    std::string sender, verp;
};
QmqpReturnPath qmqp_return_path(std::string_view sender);

}  // namespace posthorn::receive
