// http/message.hpp: requests read, answers written.                                                              RFC 9112, by Boost.Beast's parser
// Reader   is fed octets as they come and says when a request is whole. Its limits are Limits; past them, or where the octets are no request, it
//          gives the status of the answer, after which the connection ends.
// Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace posthorn::http {

struct Limits {
    std::size_t header = 16 * 1024;            // request line and header, in octets
    std::size_t body = 64 * 1024;
};

struct Request {
    std::string method;                        // "GET"
    std::string target;                        // as it came
    std::vector<std::string> host;             // every Host field: more than one is wrong
    std::string authorization;
    std::string content_type, content_encoding;
    std::string body;                          // empty before all of it has come
    bool keep_alive = false;
    bool old = false;                          // HTTP/1.0: needs no Host
};

class Reader {
public:
    explicit Reader(Limits limits);
    Reader(Reader&&) = delete;
    ~Reader();

    /// How many of the octets it took: those behind a whole request belong to the next one.
    std::size_t feed(std::string_view octets);
    bool whole() const;
    /// Request line and header have come; the body may still be on its way.
    bool head_done() const;
    /// Once that is so: the request without its body.
    Request head() const;
    /// The client waits for leave to send its body (Expect: 100-continue, RFC 9110 10.1.1).
    bool waits_for_leave() const;
    /// Octets of the body that are held.
    std::size_t held() const;
    /// Something of a request has come.
    bool begun() const { return begun_; }
    /// The status of the refusal, once there is one: 400, 413, 431.
    std::optional<unsigned> refused() const { return refused_; }
    /// Once, of a whole request.
    Request take();

private:
    struct Parser;
    std::size_t put(std::string_view octets);
    std::unique_ptr<Parser> parser_;
    std::size_t head_limit_, head_octets_ = 0;
    std::optional<unsigned> refused_;
    bool begun_ = false;
};

struct Answer {
    Answer() = default;
    Answer(unsigned code, std::string_view content_type, std::string content) : status(code), type(content_type), body(std::move(content)) {}
    unsigned status = 200;
    std::string_view type = "text/plain; charset=utf-8";
    std::string body;
    std::vector<std::pair<std::string_view, std::string>> fields;   // further ones: values of our own
    std::string log;                                                // a line for the log; empty: none
};

/// {"error": "..."}
Answer error_answer(unsigned status, std::string_view text);

/// On the wire. No answer is stored by anybody, framed, or taken for another type than it says. `head`: without the body.
std::string on_the_wire(const Answer& answer, bool keep_alive, bool head);

}  // namespace posthorn::http
