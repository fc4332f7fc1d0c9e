// CSV output. The text equals that of a C++ stream at the same precision; std::to_chars writes it
// several times faster, which a short fit notices.
#ifndef PYXSTAN_DRIVER_WRITERS_HPP
#define PYXSTAN_DRIVER_WRITERS_HPP

#include "stan_math.hpp"

#include <stan/callbacks/writer.hpp>
#include <stan/version.hpp>

#include <Eigen/Dense>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace pyxstan {

class csv_writer : public stan::callbacks::writer {
 public:
  csv_writer() = default;  // writes nothing
  csv_writer(const std::string& file, int digits)
      : name_(file), digits_(digits < 0 ? 6 : digits), file_(std::fopen(file.c_str(), "w")) {
    if (file_ == nullptr) {
      throw std::runtime_error("Cannot open output file \"" + file + "\"");
    }
  }
  csv_writer(csv_writer&& other) noexcept
      : name_(std::move(other.name_)),
        digits_(other.digits_),
        skip_(other.skip_),
        file_(std::move(other.file_)),
        line_(std::move(other.line_)) {}

  bool is_valid() const noexcept { return file_ != nullptr; }

  void operator()(const std::vector<std::string>& names) {
    if (file_ == nullptr || names.empty()) {
      return;
    }
    line_.clear();
    for (const std::string& name : names) {
      line_ += name;
      line_ += ',';
    }
    end_line();
  }
  void operator()(const std::vector<double>& values) {
    row(values.data(), values.size(), ",");
  }
  void operator()() { comment(""); }
  void operator()(const std::string& message) { comment(message); }

  // Pathfinder and Laplace write matrices: a column a draw, separated as Eigen does.
#if STAN_MAJOR == 2 && STAN_MINOR < 36
  void operator()(const Eigen::Ref<Eigen::Matrix<double, -1, -1>>& values) { columns(values); }
#else
  void operator()(const Eigen::Matrix<double, -1, -1>& values) { columns(values); }
  void operator()(const Eigen::Matrix<double, -1, 1>& values) { columns(values); }
  void operator()(const Eigen::Matrix<double, 1, -1>& values) { columns(values.transpose()); }
#endif

  // Leave out so many values at the start of each column that is written as a row.
  void skip_leading(std::size_t count) { skip_ = count; }

  // Text as it is, such as the header of the configuration.
  void raw(const std::string& text) {
    if (file_ != nullptr) {
      put(text);
    }
  }

  // Make sure that all is on disk; a full disk shows here at the latest.
  void close() {
    if (file_ != nullptr && std::fclose(file_.release()) != 0) {
      fail();
    }
  }

 private:
  struct closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string name_;
  int digits_ = 6;
  std::size_t skip_ = 0;
  std::unique_ptr<std::FILE, closer> file_;
  std::string line_;

  [[noreturn]] void fail() const {
    throw std::runtime_error("Cannot write output file \"" + name_ + "\" (is the disk full?)");
  }
  void put(const std::string& text) {
    if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size()) {
      fail();
    }
  }
  void comment(const std::string& message) {
    if (file_ != nullptr) {
      put("# " + message + "\n");
      if (std::fflush(file_.get()) != 0) {
        fail();
      }
    }
  }
  void end_line() {
    line_.back() = '\n';
    put(line_);
  }
  template <typename Values>
  void columns(const Values& values) {
    const Eigen::MatrixXd copy = values;
    for (Eigen::Index j = 0; j < copy.cols(); ++j) {
      row(copy.col(j).data() + skip_, static_cast<std::size_t>(copy.rows()) - skip_, ", ");
    }
  }
  void row(const double* values, std::size_t size, const char* separator) {
    if (file_ == nullptr || size == 0) {
      return;
    }
    line_.clear();
    for (std::size_t i = 0; i < size; ++i) {
      if (i > 0) {
        line_ += separator;
      }
      append(values[i]);
    }
    line_ += '\n';
    put(line_);
  }
  void append(double x) {
    char text[64];
    if (std::isfinite(x)) {
      const auto end
          = std::to_chars(text, text + sizeof text, x, std::chars_format::general, digits_);
      line_.append(text, end.ptr);
    } else {
      line_ += std::isnan(x) ? (std::signbit(x) ? "-nan" : "nan") : (x > 0 ? "inf" : "-inf");
    }
  }
};

}  // namespace pyxstan

#endif
