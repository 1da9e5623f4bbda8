/// A right ISBN-13 for each number up to 800,000,000: as many different ones as a test needs.
#[must_use]
pub fn isbn(number: u32) -> String {
    let digits = format!("978{:09}", 100_000_000 + number);
    let weighted = digits.bytes().zip([1, 3].into_iter().cycle());
    let sum: u32 = weighted.map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_check_digit_is_right() {
        assert_eq!(super::isbn(761_484_100), "9788614841004");
    }
}
