// exim/spool_message.hpp: a message of Exim's spool, whose envelope, header, content and history are files of their own. Exim's manual, "Format of spool files".
// Shape    ID-H: its own name; "login uid gid"; "<sender>"; "seconds warnings"; variables ("-name value", "--name" where Exim does not trust it), of which some say
//          how many octets follow; the addresses that are done with, as a tree ("YN address"; "XX": none); a count and that many recipients, each with what was
//          asked for it; an empty line; the header, each field with its length and a letter ('*': taken out).
//          ID-D: its own name, then the content, with lines that end in LF or, where -H says so, as on the wire.
//          ID-J: addresses that were done with since -H was written, one a line. The message log: what became of whom.
//          A recipient: "address", "address errors-to length,parent#1", "address orcpt length,flags#2", both: "#3"; read from its end, since any of them may hold spaces.
// Units    octets. What is given away has CRLF line ends.
// Errors   "ID-H, line N: what", "ID-D: what". A recipient that others were made of, some of whom have the message, cannot be told apart from here: an Error
//          that names it; so is one with a sender of its own.
// Trust    none: Exim wrote the files, but what is in them came from anywhere. Pure.
#pragma once

#include "handoff/words.pb.h"
#include "migrate/take_content.hpp"

#include <cstdint>
#include <string_view>

namespace posthorn::exim {

/// "1tGhmS-000GtA-2Q", or "1tGhmS-00000000GtA-2Qab" as Exim 4.97 and later have it.
bool is_message_id(std::string_view text);

struct SpoolFiles {
    std::string_view head, data, journal, log;  // the last two: empty where there is none
};

struct SpoolMessage {
    handoff::Envelope envelope;  // recipients: those that are open; without queue id, message id and hops
    std::uint32_t done = 0;  // recipients that are done with
    bool frozen = false;
};

Result<SpoolMessage> read_spool_message(std::string_view id, const SpoolFiles& files, const migrate::TakeContent& content);

}  // namespace posthorn::exim
