// receive/tally.hpp: what a session did, for its disconnect line: "ehlo=1 mail=1 rcpt=1/2 data=1 quit=1 commands=5/6".
#pragma once

#include "smtp/verb.hpp"

#include <array>
#include <cstdint>
#include <string>

namespace posthorn::receive {

class Tally {
public:
    /// `verb` null: not recognised.
    void count(const smtp::Verb* verb) { ++slot(verb).total; }
    void succeeded(const smtp::Verb* verb) { ++slot(verb).ok; }
    /// It was thought to have succeeded.
    void failed(const smtp::Verb* verb) { --slot(verb).ok; }
    std::string text() const;

private:
    struct Count {
        std::uint32_t ok = 0, total = 0;
    };
    static constexpr std::size_t unknown = smtp::verbs.size();
    Count& slot(const smtp::Verb* verb) { return counts_[verb ? static_cast<std::size_t>(verb->id) : unknown]; }
    std::array<Count, unknown + 1> counts_{};
};

}  // namespace posthorn::receive
