// base/error.hpp: a failure as a value.
// Shape    what happened ("lost connection"), an enhanced status code (RFC 3463, "4.4.2"; empty where none fits),
//          and the context added on the way up: during what, with whom, after which line.
// Owns     its text. Errors of broken invariants and of start-up are exceptions instead.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace posthorn {

class Error {
public:
    explicit Error(std::string what, std::string status = {}) : what_(std::move(what)), status_(std::move(status)) {}

    /// "while sending RCPT TO": the phase, in Postfix's words, because tools grep them.
    Error while_(std::string_view phase) &&
    {
        during_ = phase;
        return std::move(*this);
    }
    /// The peer, as "name[addr]" or "name[addr]:port".
    Error with(std::string_view peer) &&
    {
        peer_ = peer;
        return std::move(*this);
    }
    /// The last line sent or the place in a file: evidence for the postmaster, not part of text().
    Error after(std::string_view evidence) &&
    {
        evidence_ = evidence;
        return std::move(*this);
    }

    const std::string& what() const { return what_; }
    const std::string& status() const { return status_; }
    const std::string& during() const { return during_; }
    const std::string& peer() const { return peer_; }
    const std::string& evidence() const { return evidence_; }

    /// "lost connection with mail.bridge.test[192.0.2.7] while sending RCPT TO"
    std::string text() const;

private:
    std::string what_, status_, during_, peer_, evidence_;
};

/// The text of an errno value, as Postfix prints it ("Connection refused").
std::string errno_text(int error_number);

/// `open /etc/x: Permission denied`
Error system_error(std::string_view what, int error_number);

/// std::expected that an Error converts to, so that `return Error{...}` works in functions and coroutines.
template <class T>
class [[nodiscard]] Result : public std::expected<T, Error> {
public:
    using std::expected<T, Error>::expected;
    Result(Error error) : std::expected<T, Error>(std::unexpect, std::move(error)) {}
};

}  // namespace posthorn

#define POSTHORN_CONCAT_(a, b) a##b
#define POSTHORN_CONCAT(a, b) POSTHORN_CONCAT_(a, b)
#define POSTHORN_TRY_(return_word, name, declaration, ...) \
    auto name = (__VA_ARGS__); \
    if (!name) [[unlikely]] \
        return_word std::move(name).error(); \
    declaration = *std::move(name)
#define POSTHORN_TRY_VOID_(return_word, name, ...) \
    if (auto name = (__VA_ARGS__); !name) [[unlikely]] \
    return_word std::move(name).error()

/// TRY(auto value, expression): the value of a Result, or return its Error.
#define TRY(declaration, ...) POSTHORN_TRY_(return, POSTHORN_CONCAT(try_, __LINE__), declaration, __VA_ARGS__)
#define TRY_VOID(...) POSTHORN_TRY_VOID_(return, POSTHORN_CONCAT(try_, __LINE__), __VA_ARGS__)
/// The same in a coroutine: CO_TRY(auto replies, co_await exchange(flight));
#define CO_TRY(declaration, ...) POSTHORN_TRY_(co_return, POSTHORN_CONCAT(try_, __LINE__), declaration, __VA_ARGS__)
#define CO_TRY_VOID(...) POSTHORN_TRY_VOID_(co_return, POSTHORN_CONCAT(try_, __LINE__), __VA_ARGS__)
