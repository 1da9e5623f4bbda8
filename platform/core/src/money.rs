//! Money: whole minor units of a currency, written as a decimal number, never a float.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::input::{Invalid, Text};

/// A currency of ISO 4217 that is in use, and how many decimals its amounts have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency {
    code: &'static str,
    decimals: u8,
}

/// Codes by the number of decimals that ISO 4217 gives them.
const CODES: &[(u8, &str)] = &[
    (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
    (
        2,
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF \
         CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ \
         GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD \
         MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON \
         RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS \
         UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG",
    ),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (4, "CLF UYW"),
];

impl Currency {
    /// The currency with this code, in upper case. `None` if ISO 4217 has none.
    #[must_use]
    pub fn of(code: &str) -> Option<Self> {
        if code.len() != 3 {
            return None;
        }
        CODES.iter().find_map(|(decimals, codes)| {
            let code = codes.split_ascii_whitespace().find(|known| *known == code)?;
            Some(Self { code, decimals: *decimals })
        })
    }

    /// Its three letters.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.code
    }

    /// How many decimals its amounts have: 2 for EUR, 0 for JPY, 3 for KWD.
    #[must_use]
    pub const fn decimals(self) -> u8 {
        self.decimals
    }

    const fn minor_units(self) -> i64 {
        10_i64.pow(self.decimals as u32)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code)
    }
}

impl Text for Currency {
    fn schema() -> Value {
        let mut codes: Vec<&str> =
            CODES.iter().flat_map(|(_, codes)| codes.split_ascii_whitespace()).collect();
        codes.sort_unstable();
        json!({"type": "string", "enum": codes})
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        Self::of(text).ok_or_else(|| {
            Invalid::new("invalid_currency", "must be a currency of ISO 4217 in upper case, as EUR")
        })
    }
}

/// A number of at most twelve digits before the point and four behind, not
/// negative: an amount whose currency is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal {
    ten_thousandths: i64,
    /// Digits behind the point as written.
    places: u8,
}

/// Behind the point a [`Decimal`] has at most as many digits as any currency.
const PLACES: u8 = 4;
const DIGITS: usize = 12;

impl Decimal {
    /// The number times 10,000: amounts of all currencies in one unit.
    #[must_use]
    pub const fn ten_thousandths(self) -> i64 {
        self.ten_thousandths
    }

    /// The amount in this currency.
    ///
    /// # Errors
    /// If it has more decimals than the currency.
    pub fn of(self, currency: Currency) -> Result<Money, Invalid> {
        if self.places > currency.decimals {
            let message = match currency.decimals {
                0 => format!("must be a whole number: {currency} has no decimals"),
                decimals => format!("must have at most {decimals} decimals, as {currency} has"),
            };
            return Err(Invalid::new("too_many_decimals", message));
        }
        let minor = self.ten_thousandths / 10_i64.pow(u32::from(PLACES - currency.decimals));
        Ok(Money { minor, currency })
    }
}

impl Text for Decimal {
    fn schema() -> Value {
        json!({
            "type": "string", "pattern": r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,4})?$", "examples": ["12.50", "1200"],
        })
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("invalid_decimal", "must be a decimal number, as \"12.50\"");
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(number) = text.strip_prefix('-')
            && digits(&number.replacen('.', "", 1))
        {
            return Err(Invalid::new("out_of_range", "must not be negative"));
        }
        let (whole, part) = text.split_once('.').map_or((text, None), |(whole, part)| (whole, Some(part)));
        if !digits(whole) || !part.is_none_or(digits) || (whole.len() > 1 && whole.starts_with('0')) {
            return Err(invalid());
        }
        let part = part.unwrap_or_default();
        if whole.len() > DIGITS {
            return Err(Invalid::new(
                "out_of_range",
                format!("must have at most {DIGITS} digits before the point"),
            ));
        }
        if part.len() > usize::from(PLACES) {
            return Err(Invalid::new("too_many_decimals", format!("must have at most {PLACES} decimals")));
        }
        let padded = format!("{whole}{part:0<width$}", width = usize::from(PLACES));
        let ten_thousandths = padded.parse().map_err(|_| invalid())?;
        let places = u8::try_from(part.len()).map_err(|_| invalid())?;
        Ok(Self { ten_thousandths, places })
    }
}

/// An amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

impl Money {
    /// So many minor units (cents) of a currency.
    #[must_use]
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// How many minor units.
    #[must_use]
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// Of what.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// The number without its currency times 10,000, so that amounts compare as they are written.
    #[must_use]
    pub const fn ten_thousandths(self) -> i64 {
        self.minor * 10_i64.pow((PLACES - self.currency.decimals) as u32)
    }

    /// The number with all decimals of its currency: `12.50`.
    #[must_use]
    pub fn amount(self) -> String {
        let (units, decimals) = (self.currency.minor_units().unsigned_abs(), self.currency.decimals);
        let (sign, minor) = (if self.minor < 0 { "-" } else { "" }, self.minor.unsigned_abs());
        if decimals == 0 {
            return format!("{sign}{minor}");
        }
        format!("{sign}{}.{:0width$}", minor / units, minor % units, width = usize::from(decimals))
    }
}

/// Amount and currency: `12.50 EUR`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount(), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn money(text: &str, currency: &str) -> Result<Money, &'static str> {
        let decimal = Decimal::parse(text).map_err(|invalid| invalid.code)?;
        decimal.of(Currency::of(currency).unwrap()).map_err(|invalid| invalid.code)
    }

    #[test]
    fn an_amount_has_the_decimals_of_its_currency() {
        for (text, currency, minor, shown) in [
            ("12.5", "EUR", 1_250, "12.50"),
            ("12", "EUR", 1_200, "12.00"),
            ("0", "USD", 0, "0.00"),
            ("1200", "JPY", 1_200, "1200"),
            ("1.005", "KWD", 1_005, "1.005"),
            ("0.0001", "CLF", 1, "0.0001"),
            ("999999999999.99", "EUR", 99_999_999_999_999, "999999999999.99"),
        ] {
            let money = money(text, currency).unwrap();
            assert_eq!((money.minor(), money.amount().as_str()), (minor, shown), "{text} {currency}");
            assert_eq!(money.ten_thousandths(), Decimal::parse(text).unwrap().ten_thousandths());
        }
        assert_eq!(Money::new(-5, Currency::of("EUR").unwrap()).to_string(), "-0.05 EUR");
    }

    #[test]
    fn what_is_no_amount_is_refused_with_its_reason() {
        for (text, currency, code) in [
            ("12.505", "EUR", "too_many_decimals"),
            ("12.0", "JPY", "too_many_decimals"),
            ("1.23456", "EUR", "too_many_decimals"),
            ("-1", "EUR", "out_of_range"),
            ("-1.50", "EUR", "out_of_range"),
            ("1000000000000", "EUR", "out_of_range"),
        ] {
            assert_eq!(money(text, currency), Err(code), "{text}");
        }
        for text in
            ["", ".", "1.", ".5", "01", "00", "+1", "1e3", "1,5", " 1", "NaN", "Infinity", "١", "-", "--1"]
        {
            assert_eq!(money(text, "EUR"), Err("invalid_decimal"), "{text:?}");
        }
    }

    #[test]
    fn only_codes_of_the_standard_are_currencies() {
        for code in ["EUR", "JPY", "KWD", "ZWG"] {
            assert_eq!(Currency::of(code).unwrap().code(), code);
        }
        for code in ["", "eur", "EU", "EURO", "XXX", "AB ", "UR "] {
            assert!(Currency::of(code).is_none(), "{code:?}");
        }
        let all = CODES.iter().flat_map(|(_, codes)| codes.split_ascii_whitespace());
        assert!(all.clone().all(|code| code.len() == 3));
        let distinct: std::collections::BTreeSet<_> = all.clone().collect();
        assert_eq!(distinct.len(), all.count());
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(minor in 0..100_000_000_000_000_i64, currency in prop::sample::select(&["EUR", "KWD", "JPY", "CLF"][..])) {
            let money = Money::new(minor % 1_000_000_000_000, Currency::of(currency).unwrap());
            let read = Decimal::parse(&money.amount()).unwrap().of(money.currency()).unwrap();
            prop_assert_eq!(read, money);
        }
    }
}
