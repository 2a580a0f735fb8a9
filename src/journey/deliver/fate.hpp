// deliver/fate.hpp: what became of a delivery; one per recipient.                                             RFC 3463
// Shape    an end, its enhanced status, the words of the log line's (...), and the action for a success report (RFC 3464 2.3.3).
// Packed   for the way back from the child that made the delivery: one line, no length of its own.
#pragma once

#include <string>
#include <string_view>

namespace posthorn::deliver {

struct Fate {
    enum class End { delivered, deferred, bounced };
    Fate() = default;
    Fate(End what, std::string code, std::string words, std::string act = {})
        : end(what), status(std::move(code)), text(std::move(words)), action(std::move(act))
    {
    }
    static Fate delivered(std::string words, std::string act = "delivered") { return {End::delivered, "2.0.0", std::move(words), std::move(act)}; }
    static Fate deferred(std::string code, std::string words) { return {End::deferred, std::move(code), std::move(words)}; }
    static Fate bounced(std::string code, std::string words) { return {End::bounced, std::move(code), std::move(words)}; }
    /// The administrator's affair: the log says what it is.
    static Fate misconfigured() { return deferred("4.3.5", "mail system configuration error"); }
    bool operator==(const Fate&) const = default;

    End end = End::deferred;
    std::string status = "4.3.0", text = "delivery ended without an answer", action;
};

std::string pack(const Fate& fate);
/// Of anything but a packed Fate: a deferral that says so. The child may have been killed.
Fate unpack_fate(std::string_view packed);

}  // namespace posthorn::deliver
