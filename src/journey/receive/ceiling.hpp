// receive/ceiling.hpp: the memory that sessions and content of this process may hold (design.md 1.8).
// Units    octets, counted where they are held, not measured: a session by a fixed sum, buffers and content by their size.
// Errors   grow() is false past the limit: the caller says 452 4.3.1 or 421 4.3.2, gives back what it has, and all recovers by itself.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace posthorn::receive {

class Ceiling {
public:
    explicit Ceiling(std::uint64_t limit) : limit_(limit) {}
    Ceiling(Ceiling&&) = delete;

    std::uint64_t used() const { return used_; }
    std::uint64_t limit() const { return limit_; }
    std::uint64_t refusals() const { return refusals_; }
    /// For the log, where something was refused.
    std::string text() const { return fmt::format("memory of sessions and content: {} bytes are held, and smtpd_memory_limit is {}", used_, limit_); }

    /// Octets held by one owner; given back when it goes.
    class Share {
    public:
        Share() = default;
        explicit Share(Ceiling& ceiling) : ceiling_(&ceiling) {}
        Share(Share&& other) noexcept : ceiling_(other.ceiling_), held_(std::exchange(other.held_, 0)) {}
        Share& operator=(Share&&) = delete;
        ~Share() { set(0); }

        /// False: the ceiling does not allow it, and nothing has changed. Less than before is always allowed.
        bool set(std::size_t octets)
        {
            if (octets > held_ && ceiling_->used_ + (octets - held_) > ceiling_->limit_) {
                ++ceiling_->refusals_;
                return false;
            }
            if (ceiling_)
                ceiling_->used_ = ceiling_->used_ - held_ + octets;
            held_ = octets;
            return true;
        }
        bool grow(std::size_t octets) { return set(held_ + octets); }
        std::size_t held() const { return held_; }
        std::string limit_text() const { return ceiling_->text(); }

    private:
        Ceiling* ceiling_ = nullptr;
        std::size_t held_ = 0;
    };

private:
    std::uint64_t limit_;
    std::uint64_t used_ = 0;
    std::uint64_t refusals_ = 0;
};

}  // namespace posthorn::receive
