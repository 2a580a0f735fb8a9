// receive/input.hpp: what came from the client and is not consumed yet.
// Shape    lines end with LF; a CR in front of it is not part of the line. Octets are taken as they are.
// Owns     a buffer of the pool while anything is in hand, none while empty. A line longer than the limit is cut, the rest dropped.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::receive {

class BufferPool {
public:
    explicit BufferPool(std::size_t size, std::size_t spare = 64) : size_(size), spare_(spare) {}
    BufferPool(BufferPool&&) = delete;
    std::unique_ptr<char[]> get()
    {
        ++in_use_;
        if (free_.empty())
            return std::make_unique_for_overwrite<char[]>(size_);
        auto buffer = std::move(free_.back());
        free_.pop_back();
        return buffer;
    }
    void put(std::unique_ptr<char[]> buffer)
    {
        --in_use_;
        if (free_.size() < spare_)
            free_.push_back(std::move(buffer));
    }
    std::size_t size() const { return size_; }
    std::size_t in_use() const { return in_use_; }

private:
    std::size_t size_, spare_, in_use_ = 0;
    std::vector<std::unique_ptr<char[]>> free_;
};

class Input {
public:
    struct Line {
        Line(std::string_view octets, bool ended_by_bare_lf, bool was_longer) : text(octets), bare_lf(ended_by_bare_lf), cut(was_longer) {}
        std::string text;
        bool bare_lf;
        bool cut;                                 // it was longer than the limit
    };

    Input(BufferPool& lines, BufferPool& bulk, std::size_t line_limit) : lines_(lines), bulk_(bulk), line_limit_(line_limit) {}
    Input(Input&&) = delete;
    ~Input() { clear(); }

    /// For the lines from here on; no more than a buffer of the pool holds, with its line end.
    void limit_lines(std::size_t octets) { line_limit_ = octets; }
    bool empty() const { return begin_ == end_; }
    /// Part of a line is in hand.
    bool mid_line() const { return !empty() || long_line_; }
    std::string_view view() const { return {buffer_.get() + begin_, end_ - begin_}; }
    void consume(std::size_t octets)
    {
        begin_ += octets;
        if (begin_ == end_)
            clear();
    }
    /// Room to read into; empty where the buffer is full. An empty one becomes one for lines, or for content.
    std::span<char> room(bool content = false);
    void added(std::size_t octets) { end_ += octets; }
    /// Gives an unused buffer back.
    void settle()
    {
        if (empty())
            clear();
    }
    void clear();
    /// The next whole line, consumed; none: more octets are needed.
    std::optional<Line> take_line();
    /// Is a whole line in hand?
    bool has_line() const { return view().find('\n') != std::string_view::npos; }

private:
    BufferPool& lines_;
    BufferPool& bulk_;
    BufferPool* pool_ = nullptr;                  // of buffer_
    std::size_t line_limit_;
    std::unique_ptr<char[]> buffer_;
    std::size_t begin_ = 0, end_ = 0;
    std::unique_ptr<std::string> long_line_;      // the part that is kept of a line that did not fit
};

}  // namespace posthorn::receive
