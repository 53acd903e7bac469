# Predicts from a table with the columns of a panel, in base R.
# Written by skproj @version@.
#
#   Rscript panel_model.R table.csv > predictions.csv
#
# or, after source("panel_model.R"), predict_panel(data_frame).

features <- @features@
intercepts <- @intercepts@
classes <- @classes@
threshold <- @threshold@
missing <- @missing@
below <- @below@
decimal <- @decimal@

columns <- function() unique(vapply(features, function(f) f$column, ""))

# Text as numbers, half of a limit such as <90 where the model was trained so.
as_number <- function(value) {
  if (!is.character(value)) return(as.numeric(value))
  is_limit <- !is.na(value) & startsWith(value, "<") &
    ("<" %in% below | gsub(" ", "", value) %in% below)
  value[is_limit] <- trimws(substring(value[is_limit], 2))
  if (decimal == ",") value <- chartr(",", ".", value)
  number <- suppressWarnings(as.numeric(value))
  number[is_limit] <- number[is_limit] / 2
  number
}

codes <- Filter(is.finite, as_number(missing))

is_category <- function(value, category) {
  if (is.null(category) || identical(category, "nan")) return(is.na(value))
  if (is.character(category)) same <- as.character(value) == trimws(category)
  else same <- suppressWarnings(as.numeric(value)) == as.numeric(category)
  !is.na(same) & same
}

feature_values <- function(f, table) {
  if (!(f$column %in% names(table))) {
    stop("the table has no column '", f$column, "'", call. = FALSE)
  }
  value <- table[[f$column]]
  if (!is.numeric(value) && !is.logical(value)) value <- trimws(as.character(value))
  value[value %in% missing] <- NA
  if (f$kind != "category") {
    value[as_number(value) %in% codes] <- NA
  }
  absent <- is.na(value)
  if (f$kind == "missing") return(as.numeric(absent))
  if (f$kind == "category") {
    if (!is.null(f$fill)) value[absent] <- f$fill
    if (!is.null(f$known)) {
      known <- Reduce(`|`, lapply(as.list(f$known), is_category, value = value))
      if (!all(known)) {
        stop("column '", f$column, "' has the unknown value '", value[!known][1], "'",
             call. = FALSE)
      }
    }
    return(as.numeric(is_category(value, f$category)))
  }
  if (is.character(value) && all(toupper(value[!absent]) %in% c("TRUE", "FALSE"))) {
    value <- toupper(value) == "TRUE"
  }
  number <- as_number(value)
  if (!is.null(f$fill)) number[absent] <- f$fill
  if (!all(is.finite(number))) {
    row <- which(!is.finite(number))[1]
    stop("column '", f$column, "' has '", value[row], "' in row ", row,
         ", which is not a finite number", call. = FALSE)
  }
  number
}

# The number that a regression predicts, the logarithm of a hazard, or what classes are
# told apart by: one column for two classes, else one for each.
decision_function <- function(table) {
  total <- matrix(intercepts, nrow(table), length(intercepts), byrow = TRUE)
  for (f in features) {
    x <- (feature_values(f, table) - f$center) / f$scale
    total <- total + outer(x, f$coefficients)
  }
  total
}

predict_panel <- function(table) {
  decision <- decision_function(table)
  if (is.null(classes)) return(data.frame(prediction = decision[, 1]))
  logits <- if (ncol(decision) == 1) cbind(0, decision) else decision
  odds <- exp(logits - apply(logits, 1, max))
  probability <- odds / rowSums(odds)
  place <- max.col(logits, ties.method = "first")
  if (!is.null(threshold)) {
    wanted <- threshold$place + 1
    score <- probability[, wanted]
    if (threshold$of == "decision") score <- decision[, 1] * (2 * wanted - 3)
    place <- ifelse(score >= threshold$value, wanted, 3 - wanted)
  }
  labels <- format(classes, scientific = FALSE, trim = TRUE, justify = "none")
  if (is.logical(classes)) labels <- ifelse(classes, "True", "False")
  colnames(probability) <- paste0("probability_", labels)
  data.frame(prediction = classes[place], probability, check.names = FALSE)
}

arguments <- commandArgs(trailingOnly = TRUE)
if (sys.nframe() == 0L && length(arguments) > 0) {
  options(scipen = 100)  # 100000 and not 1e+05
  header <- readLines(arguments[1], 1, warn = FALSE)
  signs <- c(",", ";", "\t", "|")
  counts <- lengths(lapply(signs, function(sign) strsplit(header, sign, fixed = TRUE)[[1]]))
  table <- read.csv(arguments[1], sep = signs[which.max(counts)],
                    check.names = FALSE, encoding = "UTF-8",
                    na.strings = NULL, colClasses = "character")
  write.csv(predict_panel(table), stdout(), row.names = FALSE)
}
