// deliver/written.hpp: a message as a mailbox file or a command gets it.                        RFC 4155, mbox(5), RFC 5321 4.4
// Shape    From_ line, Return-Path:, X-Original-To:, Delivered-To:, each where asked for; then the message with `eol` line ends.
// Trust    none: addresses are quoted, and what breaks a line is no address (printable).
// Use      head(), then feed() any pieces, then end(); each appends to `out`. One object, one message.
#pragma once

#include "base/clock.hpp"

#include <string>
#include <string_view>

namespace posthorn::deliver {

struct WrittenOptions {
    bool from_line = false;       // "From sender  date"
    bool return_path = false;
    bool original_to = false;
    bool delivered_to = false;
    bool quote_from = false;      // ">From " where a line begins with "From "
    bool dots = false;            // a leading dot is doubled
    bool blank_end = false;       // an empty line behind the message
    std::string eol = "\n";
};

struct WrittenNames {
    std::string sender;           // as it is to be written; empty: <>
    std::string original, delivered;
    WallTime when{};
};

class Written {
public:
    Written(WrittenOptions options, WrittenNames names) : options_(std::move(options)), names_(std::move(names)) {}

    void head(std::string& out) const;
    /// Stored form in.
    void feed(std::string_view octets, std::string& out);
    void end(std::string& out);

private:
    WrittenOptions options_;
    WrittenNames names_;
    bool held_cr_ = false, at_start_ = true;
    std::string start_;           // of a line that may become "From "
};

}  // namespace posthorn::deliver
